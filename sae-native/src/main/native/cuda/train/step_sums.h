/* step_sums.h: launches of the kernels that steer a fused step; definitions are in step_sums.cu. */
#ifndef SAE_CUDA_STEP_SUMS_H
#define SAE_CUDA_STEP_SUMS_H

#include "../encode/select.h"
#include "step_state.h"

namespace sae::cuda {

struct ClipBound {
    double rows;
    bool subtract_b_dec, train_decoder, train_b_enc;
    const double *weight_squares; // [2]: of W_enc and of W_dec
};
/* Sets lr in sums and clears the bad row in status; either may be null. */
cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, cudaStream_t stream);
/* partials: scratch [2, kSquareBlocks]; weight_squares [2]: of W_enc and W_dec, `count` elements each */
cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream);
cudaError_t launch_batch_scales(const LossOptions &options, const double *moments, int64_t rows, int64_t d_in,
                                const int *n_dead, StepSums *sums, cudaStream_t stream);
/* measure_norm: the branch that runs if clipping is not ruled out */
cudaError_t launch_decide(const double *collected, const int64_t *active, const SelectionCounts *counts,
                          const int *n_dead, const ClipBound &bound, const AdamOptions &options, StepSums *sums,
                          StepStatus *status, const Condition &measure_norm, cudaStream_t stream);
cudaError_t launch_clip(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                        const AdamOptions &options, StepSums *sums, cudaStream_t stream);
cudaError_t launch_finish_step(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                               const AdamOptions &options, bool train_decoder, double *weight_squares,
                               StepStatus *status, cudaStream_t stream);

} // namespace sae::cuda
#endif
