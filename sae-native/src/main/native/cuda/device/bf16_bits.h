/* bf16_bits.h: a float as bfloat16 and back, the same on the host and on the device. */
#ifndef SAE_CUDA_BF16_BITS_H
#define SAE_CUDA_BF16_BITS_H

#include <cstdint>
#include <cstring>

#include <cuda_runtime.h>

namespace sae::cuda {

/* To nearest, ties to even. Finite values stay finite, NaN stays NaN, and exact bfloat16 values are unchanged. */
__host__ __device__ inline uint16_t to_bf16(float value) {
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude >= 0x7F800000u) {
        return static_cast<uint16_t>(bits >> 16 | (magnitude > 0x7F800000u ? 0x40u : 0u));
    }
    const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return static_cast<uint16_t>((rounded & 0x7FFFu) == 0x7F80u ? rounded - 1 : rounded);
}

__host__ __device__ inline float from_bf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value = 0.0f;
    memcpy(&value, &wide, sizeof value);
    return value;
}

} // namespace sae::cuda
#endif
