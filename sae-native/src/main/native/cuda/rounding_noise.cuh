/*
 * rounding_noise.cuh: the random bits of stochastic rounding, a hash of (step, matrix, element), so that a run repeats bit
 * by bit. rounding_noise_check.cpp looks at how they go together.
 */
#ifndef SAE_CUDA_ROUNDING_NOISE_CUH
#define SAE_CUDA_ROUNDING_NOISE_CUH

#include <cstdint>

#include <cuda_runtime.h>

namespace sae::cuda {

/* Bits that look random: every input bit changes every output bit about half of the time. */
__device__ inline uint32_t scramble(uint32_t bits) {
    bits = (bits ^ bits >> 16) * 0x85EBCA6Bu;
    bits = (bits ^ bits >> 13) * 0xC2B2AE35u;
    return bits ^ bits >> 16;
}

/* matrix: 0 for the encoder, 1 for the decoder */
__device__ inline uint32_t rounding_seed(int64_t step, int matrix) {
    return scramble(2 * static_cast<uint32_t>(step) + static_cast<uint32_t>(matrix));
}

/* Scrambled twice: once would give two steps whose keys differ in low bits alone the same numbers, at other elements. */
__device__ inline uint32_t random_bits(uint32_t seed, int64_t element) {
    const uint32_t key = scramble(seed + static_cast<uint32_t>(element >> 32));
    return scramble(scramble(static_cast<uint32_t>(element) ^ key) + key);
}

} // namespace sae::cuda
#endif
