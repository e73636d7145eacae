/*
 * vectors.cuh: loads and stores of a few adjacent elements as one memory access, and bfloat16 storage.
 *
 * Width elements: 4 (128 bits of float32; the address must be a multiple of 16, of 8 for bfloat16) or 1 (any address).
 * `stream` variants are for data that is touched once per step and need not stay in L2.
 *
 * bfloat16 of a float: the upper half of its bits, rounded stochastically: the discarded half, plus 16 random bits,
 * carries into the upper half with the probability that makes the mean exact (rounding_noise.cuh).
 */
#ifndef SAE_CUDA_VECTORS_CUH
#define SAE_CUDA_VECTORS_CUH

#include "bf16_bits.h"
#include "device.h"
#include "rounding_noise.cuh"

namespace sae::cuda {

/* A row of a Gathered matrix; Element matches its `bf16`. */
template <typename Element>
__device__ inline const Element *gathered_row(const Gathered &matrix, int64_t row) {
    return static_cast<const Element *>(matrix.rows) + row * matrix.stride;
}

/* Width elements as they are stored, 2 to 16 bytes: one access, and no more registers than bytes until they are used. */
template <typename Element, int Width>
struct Packed {
    static constexpr int kBytes = Width * static_cast<int>(sizeof(Element));
    static_assert(kBytes == 2 || kBytes == 4 || kBytes == 8 || kBytes == 16, "one access");
    static constexpr int kWords = kBytes < 4 ? 1 : kBytes / 4;
    uint32_t words[kWords] = {};

    __device__ inline void load(const Element *address) {
        if constexpr (kBytes == 16) {
            const uint4 four = *reinterpret_cast<const uint4 *>(address);
            words[0] = four.x, words[1] = four.y, words[2] = four.z, words[3] = four.w;
        } else if constexpr (kBytes == 8) {
            const uint2 two = *reinterpret_cast<const uint2 *>(address);
            words[0] = two.x, words[1] = two.y;
        } else if constexpr (kBytes == 4) {
            words[0] = *reinterpret_cast<const uint32_t *>(address);
        } else {
            words[0] = *reinterpret_cast<const uint16_t *>(address);
        }
    }

    __device__ inline float at(int i) const {
        if constexpr (sizeof(Element) == sizeof(float)) {
            return __uint_as_float(words[i]);
        } else {
            return __uint_as_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xFFFF0000u);
        }
    }
};

template <int Width>
__device__ inline void load(const float *address, float (&values)[Width]) {
    static_assert(Width == 1 || Width == 4, "one access");
    if constexpr (Width == 4) {
        const float4 four = *reinterpret_cast<const float4 *>(address);
        values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
    } else {
        values[0] = *address;
    }
}

template <int Width>
__device__ inline void widen(const uint2 &two, float (&values)[Width]) {
    static_assert(Width == 4, "two to a word");
    values[0] = from_bf16(static_cast<uint16_t>(two.x)), values[1] = from_bf16(static_cast<uint16_t>(two.x >> 16));
    values[2] = from_bf16(static_cast<uint16_t>(two.y)), values[3] = from_bf16(static_cast<uint16_t>(two.y >> 16));
}

template <int Width>
__device__ inline void load(const Bf16 *address, float (&values)[Width]) {
    if constexpr (Width == 4) {
        widen(*reinterpret_cast<const uint2 *>(address), values);
    } else {
        values[0] = from_bf16(address->bits);
    }
}

template <int Width>
__device__ inline void load_stream(const float *address, float (&values)[Width]) {
    if constexpr (Width == 4) {
        const float4 four = __ldcs(reinterpret_cast<const float4 *>(address));
        values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
    } else {
        values[0] = __ldcs(address);
    }
}

template <int Width>
__device__ inline void store_stream(float *address, const float (&values)[Width]) {
    if constexpr (Width == 4) {
        __stcs(reinterpret_cast<float4 *>(address), float4{values[0], values[1], values[2], values[3]});
    } else {
        __stcs(address, values[0]);
    }
}

template <int Width>
__device__ inline void load_stream(const Bf16 *address, float (&values)[Width]) {
    if constexpr (Width == 4) {
        widen(__ldcs(reinterpret_cast<const uint2 *>(address)), values);
    } else {
        values[0] = from_bf16(address->bits);
    }
}

template <int Width>
__device__ inline void store_narrow(uint16_t *address, const uint16_t (&bits)[Width]) {
    if constexpr (Width == 4) {
        *reinterpret_cast<uint2 *>(address) =
            uint2{bits[0] | static_cast<uint32_t>(bits[1]) << 16, bits[2] | static_cast<uint32_t>(bits[3]) << 16};
    } else {
        *address = bits[0];
    }
}

/* Rounded to nearest (bf16_bits.h). */
template <int Width>
__device__ inline void store_rounded(uint16_t *address, const float (&values)[Width]) {
    if constexpr (Width == 4) {
        *reinterpret_cast<uint2 *>(address) =
            uint2{to_bf16(values[0]) | static_cast<uint32_t>(to_bf16(values[1])) << 16,
                  to_bf16(values[2]) | static_cast<uint32_t>(to_bf16(values[3])) << 16};
    } else {
        *address = to_bf16(values[0]);
    }
}

/* noise: 16 random bits */
__device__ inline uint32_t narrow(float value, uint32_t noise) { return (__float_as_uint(value) + noise) >> 16; }

template <int Width>
__device__ inline void store_stream(Bf16 *address, const float (&values)[Width], const uint32_t (&noise)[Width]) {
    if constexpr (Width == 4) {
        const uint32_t low = narrow(values[0], noise[0]) | narrow(values[1], noise[1]) << 16;
        const uint32_t high = narrow(values[2], noise[2]) | narrow(values[3], noise[3]) << 16;
        __stcs(reinterpret_cast<uint2 *>(address), uint2{low, high});
    } else {
        address->bits = static_cast<uint16_t>(narrow(values[0], noise[0]));
    }
}

/* Adam's moments as they are stored; `element` of the matrix and a step's seed determine the stochastic rounding. */
template <int Width>
__device__ inline void put_moments(float *first, float *second, const float (&m)[Width], const float (&v)[Width],
                                   uint32_t, int64_t) {
    store_stream(first, m);
    store_stream(second, v);
}

template <int Width>
__device__ inline void put_moments(Bf16 *first, Bf16 *second, const float (&m)[Width], const float (&v)[Width],
                                   uint32_t seed, int64_t element) {
    uint32_t low[Width];
    uint32_t high[Width];
#pragma unroll
    for (int at = 0; at < Width; at++) {
        const uint32_t bits = random_bits(seed, element + at);
        low[at] = bits & 0xFFFFu;
        high[at] = bits >> 16;
    }
    store_stream(first, m, low);
    store_stream(second, v, high);
}

} // namespace sae::cuda
#endif
