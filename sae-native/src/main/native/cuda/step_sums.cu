/* step_sums.cu: launches the kernels that steer a fused step; definitions are in step_sums.cuh. */
#include "step_sums.cuh"

namespace sae::cuda {

cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, cudaStream_t stream) {
    return launch(begin_step_kernel, 1, stream, lr, sums, status);
}

cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream) {
    cudaError_t error = launch_squares(w_enc, count, partials, stream);
    if (error == cudaSuccess) {
        error = launch_squares(w_dec, count, partials + kSquareBlocks, stream);
    }
    return error != cudaSuccess ? error : launch(weight_squares_kernel, 1, stream, partials, weight_squares);
}

cudaError_t launch_batch_scales(const LossOptions &options, const double *moments, int64_t rows, int64_t d_in,
                                const int *n_dead, StepSums *sums, cudaStream_t stream) {
    return launch(batch_scales_kernel, 1, stream, options, moments, static_cast<double>(rows), d_in, n_dead, sums);
}

cudaError_t launch_decide(const double *collected, const int64_t *active, const int *n_dead, const ClipBound &bound,
                          const AdamOptions &options, StepSums *sums, StepStatus *status, cudaStream_t stream) {
    return launch(decide_kernel, 1, stream, collected, active, n_dead, bound, options, sums, status);
}

cudaError_t launch_clip(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                        const AdamOptions &options, StepSums *sums, cudaStream_t stream) {
    return launch(clip_kernel, 1, stream, by_group, groups, b_dec_gradient, d_in, options, sums);
}

cudaError_t launch_finish_step(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                               const AdamOptions &options, bool train_decoder, double *weight_squares,
                               StepStatus *status, cudaStream_t stream) {
    return launch(finish_step_kernel, 1, stream, by_group, groups, b_dec_gradient, d_in, options, train_decoder,
                  weight_squares, status);
}

} // namespace sae::cuda
