/*
 * bf16.cuh: what rounding to bfloat16 (bf16_bits.h) does to a pre-activation.
 *
 * With x = x' + dx and w = w' + dw, x' and w' in bfloat16, the screened z' = x' w' + b is off by at most
 *
 *   M = |x| |dw| + (|dx| + a |x|) |w'| + 8 u |b| + f          a = 4 (d + 16) u, u = 2^-24
 *
 * a covers the sums: those of the tensor cores (products exact; each step of 16 adds is aligned and truncated, in total
 * at most 2.2 d u |x| |w'|) and any order of float32 sums (d u |x| |w|). f covers products below float32's normal
 * range.
 * For an all-zero latent or row, M = 8 u |b|.
 * All norms are summed in double and rounded up. Norms beyond float32's range are infinite: nothing is certain then.
 */
#ifndef SAE_CUDA_BF16_CUH
#define SAE_CUDA_BF16_CUH

#include "../device/bf16_bits.h"
#include "shadow.h"

namespace sae::cuda {

constexpr double kUnit = 1.0 / (1 << 24);
constexpr double kRoundedUp = 1.001; // of sums and products of norms
constexpr double kUnderflow = 1e-37; // of one product

/* Sums that a warp collects while it rounds a row. */
struct Rounding {
    double value = 0.0;   // squares of the row
    double rounded = 0.0; // of the row in bf16
    double error = 0.0;   // of the difference

    __device__ uint16_t add(float x) {
        const uint16_t bits = to_bf16(x);
        const double near = from_bf16(bits);
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

__device__ inline RowBound row_bound(const Rounding &sums, int64_t d_in) {
    const double norm = sqrt(sums.value) * kRoundedUp;
    const double slack = sqrt(sums.error) * kRoundedUp + 4.0 * static_cast<double>(d_in + 16) * kUnit * norm;
    const double floor = sums.value == 0.0 ? 0.0 : static_cast<double>(d_in) * kUnderflow;
    return {static_cast<float>(norm * kRoundedUp), static_cast<float>(slack * kRoundedUp), static_cast<float>(floor)};
}

__device__ inline LatentBound latent_bound(const Rounding &sums, float bias) {
    return {static_cast<float>(sqrt(sums.error) * kRoundedUp), static_cast<float>(sqrt(sums.rounded) * kRoundedUp),
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
