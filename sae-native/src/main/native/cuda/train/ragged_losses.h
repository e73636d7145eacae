/* ragged_losses.h: launches of a ragged step's losses; definitions are in ragged_losses.cu. */
#ifndef SAE_CUDA_RAGGED_LOSSES_H
#define SAE_CUDA_RAGGED_LOSSES_H

#include "ragged_batch.h"
#include "step_state.h"

namespace sae::cuda {

struct RaggedLosses {
    int64_t rows, d_out;
    LossOptions loss;
    PenaltyOptions penalty;
    Prefixes prefixes;
    bool gated;
    bool first;        // part of its step
    int levels;        // of the auxiliary loss; 0: there is none
    const int *starts; // [levels + 1] where each level's dead latents begin in the list
    StepSums *sums;
    RaggedSums *ragged;
    StepStatus *status;
};
/* The factors of the gradients and of the sparsity term, once squares are summed and values are counted. */
cudaError_t launch_ragged_scales(const RaggedLosses &of, cudaStream_t stream);
/* The part's losses join those of its step. */
cudaError_t launch_ragged_totals(const RaggedLosses &of, cudaStream_t stream);

} // namespace sae::cuda
#endif
