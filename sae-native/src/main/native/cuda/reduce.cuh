/*
 * reduce.cuh: sums over a block, in a fixed order.
 *
 * A tree in shared memory, in double: the result depends on the values only, never on the schedule.
 * Every thread of the block must call; every thread gets the sum.
 */
#ifndef SAE_CUDA_REDUCE_CUH
#define SAE_CUDA_REDUCE_CUH

#include "device.h"

namespace sae::cuda {

__device__ inline double block_sum(double value) {
    __shared__ double partial[kThreads];
    const int thread = static_cast<int>(threadIdx.x);
    partial[thread] = value;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (thread < half) {
            partial[thread] += partial[thread + half];
        }
        __syncthreads();
    }
    const double sum = partial[0];
    __syncthreads(); // the next call overwrites partial
    return sum;
}

} // namespace sae::cuda
#endif
