/*
 * rounding.cuh: what rounding the operands to 16 bits (narrow_bits.h) does to a pre-activation.
 *
 * float32 precision screens with IEEE halves: 11 bits of significand where bfloat16 has 8, so that |dx| and |dw| are an
 * eighth, at the same rate of the tensor cores. Their range is small, so what is rounded is scaled by a power of two
 * first, which is exact: a row of x to a largest element of 2^14 to 2^15, W_enc by 2^10: elements of W_enc from 2^-24 to
 * 64, and those of a row within 2^29 of its largest, keep all 11 bits. Beyond, dx and dw grow: they are the true
 * differences, whatever was lost, so that the bound holds. precision=bf16 rounds to bfloat16, unscaled.
 *
 * With x = x' + dx and w = w' + dw, x' and w' what was rounded, the screened z' = x' w' + b is off by at most
 *
 *   M = |x| |dw| + (|dx| + a |x|) (|w'| + |dw|) + 8 u |b| + f          a = 2.6 (d + 32) u, u = 2^-24
 *
 * a covers the sums. Those of the tensor cores have exact products; a step of 8 or 16 is aligned to its largest addend and
 * truncated, each of the 8 + 2 addends by at most 2 u of what is at most |x'| |w'|: 2.5 d u. The value, a float32 sum in
 * warp_dot.cuh's order, has at most d / 32 + 8 roundings behind each addend. |x| stands for the larger of |x| and |x'|.
 * f covers products below float32's normal range.
 * For an all-zero latent or row, M = 8 u |b|.
 * All norms are summed in double and rounded up. Norms beyond float32's range are infinite: nothing is certain then.
 */
#ifndef SAE_CUDA_ROUNDING_CUH
#define SAE_CUDA_ROUNDING_CUH

#include "../device/narrow_bits.h"
#include "shadow.h"

namespace sae::cuda {

constexpr double kUnit = 1.0 / (1 << 24);
constexpr double kRoundedUp = 1.001; // of sums and products of norms
constexpr double kUnderflow = 1e-37; // of one product
constexpr double kSumUnits = 2.6;    // a = kSumUnits (d + kSumExtra) u
constexpr double kSumExtra = 32.0;

/* 2^exponent, -126 to 127 */
__device__ inline float power_of_two(int exponent) {
    return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23);
}

/* W_enc's scale. */
template <Narrow kFormat>
__device__ constexpr float latent_scale() {
    return kFormat == Narrow::kBf16 ? 1.0f : 1024.0f;
}

/* The scale of a row of x, from its largest magnitude: 2^14 over its power of two, within what leaves 1 / (scale
 * latent_scale) a normal float. */
template <Narrow kFormat>
__device__ inline float row_scale(float largest) {
    constexpr int kTop = 14;
    constexpr int kFurthest = 100;
    if (kFormat == Narrow::kBf16) {
        return 1.0f;
    }
    const int exponent = kTop - (static_cast<int>(__float_as_uint(largest) >> 23 & 0xFFu) - 127);
    return power_of_two(exponent > kFurthest ? kFurthest : exponent < -kFurthest ? -kFurthest : exponent);
}

/* Sums that a warp collects while it rounds a row; `scale` is a power of two. */
template <Narrow kFormat>
struct Rounding {
    float scale;
    double value = 0.0;   // squares of the row
    double rounded = 0.0; // of the row as rounded
    double error = 0.0;   // of the difference

    __device__ explicit Rounding(float scale_ = latent_scale<kFormat>()) : scale(scale_) {}

    /* What to store. */
    __device__ uint16_t add(float x) {
        const uint16_t bits = to_narrow<kFormat>(kFormat == Narrow::kBf16 ? x : x * scale);
        double near = from_narrow<kFormat>(bits);
        if (kFormat != Narrow::kBf16) {
            near *= 1.0f / scale;
        }
        const double miss = static_cast<double>(x) - near;
        value += static_cast<double>(x) * x;
        rounded += near * near;
        error += miss * miss;
        return bits;
    }
    /* Over the warp; the same on every lane. */
    __device__ void sum() {
        for (int bit = 16; bit > 0; bit /= 2) {
            value += __shfl_xor_sync(0xFFFFFFFFu, value, bit);
            rounded += __shfl_xor_sync(0xFFFFFFFFu, rounded, bit);
            error += __shfl_xor_sync(0xFFFFFFFFu, error, bit);
        }
    }
};

template <Narrow kFormat>
__device__ inline RowBound row_bound(const Rounding<kFormat> &sums, int64_t d_in) {
    const double norm = sqrt(sums.value > sums.rounded ? sums.value : sums.rounded) * kRoundedUp;
    const double slack =
        sqrt(sums.error) * kRoundedUp + kSumUnits * (static_cast<double>(d_in) + kSumExtra) * kUnit * norm;
    const double floor = sums.value == 0.0 ? 0.0 : static_cast<double>(d_in) * kUnderflow;
    return {static_cast<float>(norm * kRoundedUp), static_cast<float>(slack * kRoundedUp), static_cast<float>(floor),
            1.0f / (sums.scale * latent_scale<kFormat>())};
}

/* Needs `rounded` and `error` of the sums. */
template <Narrow kFormat>
__device__ inline LatentBound latent_bound(const Rounding<kFormat> &sums, float bias) {
    const double error = sqrt(sums.error) * kRoundedUp;
    return {static_cast<float>(error), static_cast<float>(sqrt(sums.rounded) * kRoundedUp + error),
            static_cast<float>(8.0 * kUnit * fabs(static_cast<double>(bias)))};
}

/* M above. */
__device__ inline float margin(const RowBound &row, const LatentBound &latent) {
    const float floor = latent.error + latent.length == 0.0f ? 0.0f : row.floor;
    return static_cast<float>(kRoundedUp) *
           (row.norm * latent.error + row.slack * latent.length + latent.fixed + floor);
}

} // namespace sae::cuda
#endif
