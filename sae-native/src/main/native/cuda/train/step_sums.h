/* step_sums.h: launches before a step; definitions are in step_sums.cu. */
#ifndef SAE_CUDA_STEP_SUMS_H
#define SAE_CUDA_STEP_SUMS_H

#include "step_state.h"

namespace sae::cuda {

struct Counters { // that kernels expect to be 0 and leave at 0
    uint32_t *at;
    int64_t count;
};
/* Sets lr in sums, clears the bad row in status and the counters; sums and status may be null. */
cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, const Counters &counters,
                              cudaStream_t stream);
/* partials: scratch [2, kSquareBlocks]; weight_squares [2]: of W_enc and W_dec, `count` elements each */
cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream);

} // namespace sae::cuda
#endif
