/* adam.cu: launches norm, clipping and Adam; definitions are in adam.cuh. */
#include "adam.cuh"

namespace sae::cuda {

cudaError_t launch_squares(const float *gradient, int64_t count, double *partials, cudaStream_t stream) {
    return launch(squares_kernel, kSquareBlocks, stream, gradient, count, partials);
}

cudaError_t launch_prepare_update(const double *partials, int64_t count, int64_t rows, const int *n_dead,
                                  const AdamOptions &options, StepSums *sums, StepStatus *status, cudaStream_t stream) {
    return launch(prepare_update_kernel, 1, stream, partials, count, static_cast<double>(rows), n_dead, options, sums,
                  status);
}

template <typename Moment>
cudaError_t launch_update(const float *gradient, int64_t count, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, float *parameters, Moment *first, Moment *second,
                          cudaStream_t stream) {
    return launch(update_kernel<Moment>, divide_up(count, kThreads), stream, gradient, count, options, sums, status,
                  parameters, first, second);
}

template <typename Moment>
cudaError_t launch_update_decoder(const float *gradient, int64_t d_in, int64_t d_sae, const AdamOptions &options,
                                  const StepSums *sums, const StepStatus *status, float *w_dec, Moment *first,
                                  Moment *second, cudaStream_t stream) {
    return launch(update_decoder_kernel<Moment>, d_sae, stream, gradient, d_in, options, sums, status, w_dec, first,
                  second);
}

template cudaError_t launch_update(const float *, int64_t, const AdamOptions &, const StepSums *, const StepStatus *,
                                   float *, float *, float *, cudaStream_t);
template cudaError_t launch_update(const float *, int64_t, const AdamOptions &, const StepSums *, const StepStatus *,
                                   float *, Bf16 *, Bf16 *, cudaStream_t);
template cudaError_t launch_update_decoder(const float *, int64_t, int64_t, const AdamOptions &, const StepSums *,
                                           const StepStatus *, float *, float *, float *, cudaStream_t);
template cudaError_t launch_update_decoder(const float *, int64_t, int64_t, const AdamOptions &, const StepSums *,
                                           const StepStatus *, float *, Bf16 *, Bf16 *, cudaStream_t);

} // namespace sae::cuda
