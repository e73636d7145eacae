/* adam.h: launches of norm, clipping and Adam, for gradients in memory; definitions and cost are in adam.cu. */
#ifndef SAE_CUDA_ADAM_H
#define SAE_CUDA_ADAM_H

#include "step_state.h"

namespace sae::cuda {

constexpr int64_t kSquareBlocks = SAE_SUM_BLOCKS; // partial sums of squares of one gradient

/* partials [kSquareBlocks] */
cudaError_t launch_squares(const float *gradient, int64_t count, double *partials, cudaStream_t stream);
/* The same of W_dec's gradient without what is parallel to the rows of w. */
cudaError_t launch_projected_squares(const float *gradient, const float *w, int64_t d_in, int64_t d_sae,
                                     double *partials, cudaStream_t stream);
/* partials [count]; count 0: clipping is off. Gradients are weighted by rows; `rows` is their total. averages: with
 * SAE_SIGNUM */
cudaError_t launch_prepare_update(const double *partials, int64_t count, int64_t rows, const int *n_dead,
                                  const AdamOptions &options, bool averages, StepSums *sums, StepStatus *status,
                                  cudaStream_t stream);
template <typename Moment> // float or Bf16
cudaError_t launch_update(const float *gradient, int64_t count, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, float *parameters, Moment *first, Moment *second,
                          cudaStream_t stream);
template <typename Moment>
cudaError_t launch_update_decoder(const float *gradient, int64_t d_in, int64_t d_sae, const AdamOptions &options,
                                  const StepSums *sums, const StepStatus *status, float *w_dec, Moment *first,
                                  Moment *second, cudaStream_t stream);

} // namespace sae::cuda
#endif
