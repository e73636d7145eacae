/* block_scan.cuh: running sums over the threads of a block. */
#ifndef SAE_CUDA_BLOCK_SCAN_CUH
#define SAE_CUDA_BLOCK_SCAN_CUH

#include "../device/reduce.cuh"

namespace sae::cuda {

/* The sum of `value` over the threads before this one; `total`: over all. Every thread of the block calls. */
template <typename T>
__device__ inline T block_scan(T value, T &total) {
    __shared__ T of_warp[kWarps];
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    T through = value;
    for (int by = 1; by < kWarp; by *= 2) {
        const T other = __shfl_up_sync(0xFFFFFFFFu, through, static_cast<unsigned>(by));
        through += lane >= by ? other : 0;
    }
    if (lane == kWarp - 1) {
        of_warp[warp] = through;
    }
    __syncthreads();
    T before = 0;
    total = 0;
    for (int i = 0; i < kWarps; i++) {
        before += i < warp ? of_warp[i] : 0;
        total += of_warp[i];
    }
    __syncthreads(); // the next call overwrites of_warp
    return before + through - value;
}

} // namespace sae::cuda
#endif
