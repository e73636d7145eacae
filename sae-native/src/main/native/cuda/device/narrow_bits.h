/* narrow_bits.h: a float in 16 bits, as bfloat16 or as IEEE half, and back; the same on the host and on the device. */
#ifndef SAE_CUDA_NARROW_BITS_H
#define SAE_CUDA_NARROW_BITS_H

#include "bf16_bits.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

namespace sae::cuda {

/* What the operands of the tensor cores are. */
enum class Narrow {
    kBf16, // float32's range, 8 bits of significand
    kHalf  // 11 bits, from 2^-24 to 65504
};

/* To nearest, ties to even. What is beyond the largest half, infinity included, becomes that half; NaN becomes anything:
 * callers look at the float. */
__host__ __device__ inline uint16_t to_half(float value) {
#ifdef __CUDA_ARCH__
    return __half_as_ushort(__float2half_rn(fminf(fmaxf(value, -65504.0f), 65504.0f)));
#else
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    uint32_t half = 0x7BFFu;
    if (magnitude < 0x38800000u) { // below 2^-14: multiples of 2^-24, the last place of 0.5
        const float shifted = (value < 0.0f ? -value : value) + 0.5f;
        memcpy(&half, &shifted, sizeof half);
        half -= 0x3F000000u;
    } else if (magnitude < 0x477FF000u) {
        half = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    }
    return static_cast<uint16_t>(sign | half);
#endif
}

__host__ __device__ inline float from_half(uint16_t half) {
#ifdef __CUDA_ARCH__
    return __half2float(__ushort_as_half(half));
#else
    const uint32_t magnitude = half & 0x7FFFu;
    const uint32_t bits = (magnitude << 13) + 0x38000000u;
    float value = static_cast<float>(magnitude) / 16777216.0f;
    if (magnitude >= 0x400u) {
        memcpy(&value, &bits, sizeof value);
    }
    return (half & 0x8000u) != 0 ? -value : value;
#endif
}

template <Narrow kFormat>
__host__ __device__ inline uint16_t to_narrow(float value) {
    return kFormat == Narrow::kBf16 ? to_bf16(value) : to_half(value);
}

template <Narrow kFormat>
__host__ __device__ inline float from_narrow(uint16_t bits) {
    return kFormat == Narrow::kBf16 ? from_bf16(bits) : from_half(bits);
}

} // namespace sae::cuda
#endif
