/* bias_tile.cuh: column sums of a dead part's dZ, which are its latents' bias gradients. */
#ifndef SAE_CUDA_BIAS_TILE_CUH
#define SAE_CUDA_BIAS_TILE_CUH

#include "../device/device.h"

namespace sae::cuda {
namespace {

constexpr int kBiasTile = 64; // latents

/* bias[p] = sum over rows of value(row, p), for the kBiasTile latents from `first` on that are below n. By the whole
 * block; in double, every fourth row in one chain, then the four in order. */
template <typename Value>
__device__ inline void bias_tile(int64_t first, int64_t n, int64_t rows, const Value &value, float *__restrict__ bias) {
    constexpr int kChains = kThreads / kBiasTile;
    __shared__ double chains[kChains][kBiasTile];
    const int column = static_cast<int>(threadIdx.x) % kBiasTile;
    const int chain = static_cast<int>(threadIdx.x) / kBiasTile;
    const int64_t p = first + column;
    double sum = 0.0;
#pragma unroll 8
    for (int64_t row = chain; row < rows && p < n; row += kChains) {
        sum += value(row, p);
    }
    chains[chain][column] = sum;
    __syncthreads();
    if (chain == 0 && p < n) {
        for (int other = 1; other < kChains; other++) {
            sum += chains[other][column];
        }
        bias[p] = static_cast<float>(sum);
    }
    __syncthreads(); // the next tile overwrites them
}

} // namespace
} // namespace sae::cuda
#endif
