/* last_block.cuh: one more pass at the end of a launch, in the block that finishes last, in place of another launch. */
#ifndef SAE_CUDA_LAST_BLOCK_CUH
#define SAE_CUDA_LAST_BLOCK_CUH

#include "device.h"

namespace sae::cuda {

/*
 * Whether this block is the last of `blocks` to arrive at a counter; what the others wrote before is visible to it then.
 * The counter is 0 before, and again after the last one. Which block that is depends on the schedule, so it may only do
 * what every block would do alike. Every thread of a block must call.
 */
__device__ inline bool is_last_block(uint32_t *arrived, int64_t blocks) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence(); // after the barrier, so for what all threads wrote
        last = atomicAdd(arrived, 1u) == static_cast<uint32_t>(blocks) - 1;
        if (last) {
            *arrived = 0;
        }
        __threadfence();
    }
    __syncthreads();
    return last;
}

} // namespace sae::cuda
#endif
