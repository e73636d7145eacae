/* condition.cuh: what a kernel finds out for a branch of its step (train/step_graph.h). */
#ifndef SAE_CUDA_CONDITION_CUH
#define SAE_CUDA_CONDITION_CUH

#include "device.h"

namespace sae::cuda {

/* In a step that is launched kernel by kernel there is no branch to tell. */
__device__ inline void set_condition(const Condition &condition, bool holds) {
#if SAE_GRAPH_BRANCHES
    if (condition.exists) {
        cudaGraphSetConditional(condition.handle, holds ? 1u : 0u);
    }
#else
    (void)condition, (void)holds;
#endif
}

} // namespace sae::cuda
#endif
