/*
 * rounding_noise.cuh: the random bits of stochastic rounding, a hash of (step, matrix, element), so that runs are
 * bit-identical. rounding_noise_check.cpp tests that they are independent.
 */
#ifndef SAE_CUDA_ROUNDING_NOISE_CUH
#define SAE_CUDA_ROUNDING_NOISE_CUH

#include <cstdint>

#include <cuda_runtime.h>

namespace sae::cuda {

/* Bits that look random: each input bit flips each output bit about half of the time. */
__device__ inline uint32_t scramble(uint32_t bits) {
    bits = (bits ^ bits >> 16) * 0x85EBCA6Bu;
    bits = (bits ^ bits >> 13) * 0xC2B2AE35u;
    return bits ^ bits >> 16;
}

/* matrix: 0 for the encoder, 1 for the decoder */
__device__ inline uint32_t rounding_seed(int64_t step, int matrix) {
    return scramble(2 * static_cast<uint32_t>(step) + static_cast<uint32_t>(matrix));
}

/* Scrambled twice: with one pass, two steps whose keys differ only in low bits would get the same numbers at different
 * elements. */
__device__ inline uint32_t random_bits(uint32_t seed, int64_t element) {
    const uint32_t key = scramble(seed + static_cast<uint32_t>(element >> 32));
    return scramble(scramble(static_cast<uint32_t>(element) ^ key) + key);
}

} // namespace sae::cuda
#endif
