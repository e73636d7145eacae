/* batch.h: the launch of the pass over the rows of a step; definitions and cost are in batch.cu. */
#ifndef SAE_CUDA_BATCH_H
#define SAE_CUDA_BATCH_H

#include "step_state.h"

namespace sae::cuda {

struct BatchRows {
    const float *x;     // [rows, d_in]
    const float *b_dec; // null with centred: the encoder's input is x
    int64_t rows, d_in;
    float *centred;
    int *bad_row;
    LossOptions loss;
    StepSums *sums;
    double *partials;  // [batch_scratch(rows, d_in)]
    uint32_t *arrived; // [1 + divide_up(d_in, kThreads)], 0 before and after
};
int64_t batch_scratch(int64_t rows, int64_t d_in);
cudaError_t launch_prepare_batch(const BatchRows &in, cudaStream_t stream);
/* After that, of another target y [rows, d_in] (x in `in`): its finite check, and what the losses need, into sums in place of
 * what x gave. `in` has sums of its own, and no b_dec. */
cudaError_t launch_prepare_target(const BatchRows &in, StepSums *sums, cudaStream_t stream);

} // namespace sae::cuda
#endif
