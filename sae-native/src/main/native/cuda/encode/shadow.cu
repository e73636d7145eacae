/*
 * shadow.cu: W_enc in 16 bits, with an error bound per latent (rounding.cuh); W_dec in bf16.
 *
 * in:  w_enc float32 [m, d], b_enc float32 [m]
 * out: rounded [m, depth], bf16 or half, depth = d rounded up to 64, zero-padded; bounds float32 [m, 3]; their maxima
 *      over groups of 256 latents and over all
 * Bytes: 4 m d read, 2 m depth written. Launch: one warp per latent, 8 latents per block of 256 threads; then one block
 * per group.
 * Deterministic: sums in double in a fixed order; maxima. No alternatives tried yet. Not measured yet.
 */
#include "shadow.h"

#include "../device/bf16_bits.h"
#include "../device/reduce.cuh"
#include "rounding.cuh"

namespace sae::cuda {
namespace {

template <Narrow kFormat>
__global__ void __launch_bounds__(kThreads)
    round_latents_kernel(const float *__restrict__ w_enc, const float *__restrict__ b_enc, int64_t d_in,
                         ShadowView shadow) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (latent >= shadow.d_sae) {
        return;
    }
    Rounding<kFormat> sums;
    for (int64_t i = lane; i < shadow.depth; i += kWarp) {
        const float value = i < d_in ? w_enc[latent * d_in + i] : 0.0f;
        shadow.rounded[latent * shadow.depth + i] = sums.add(value);
    }
    sums.sum();
    if (lane == 0) {
        shadow.latents[latent] = latent_bound(sums, b_enc[latent]);
    }
}

/* matrix [rows, columns] in bf16, in zero-padded rows of `depth` elements */
__global__ void __launch_bounds__(kThreads)
    round_matrix_kernel(const float *__restrict__ matrix, int64_t rows, int64_t columns, uint16_t *__restrict__ rounded,
                        int64_t depth) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    for (int64_t i = lane; row < rows && i < depth; i += kWarp) {
        rounded[row * depth + i] = to_bf16(i < columns ? matrix[row * columns + i] : 0.0f);
    }
}

/* NaN counts as the largest value: such a latent is never ruled out. */
__device__ inline float larger(float a, float b) { return a > b || isnan(a) ? a : b; }

__device__ inline LatentBound larger(const LatentBound &a, const LatentBound &b) {
    return {larger(a.error, b.error), larger(a.length, b.length), larger(a.fixed, b.fixed)};
}

/* out[block] = maxima of in [block * each, + each) below count */
__global__ void __launch_bounds__(kThreads)
    group_bounds_kernel(const LatentBound *__restrict__ in, int64_t count, int64_t each, LatentBound *out) {
    __shared__ LatentBound largest[kThreads];
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t first = static_cast<int64_t>(blockIdx.x) * each;
    const int64_t last = first + each < count ? first + each : count;
    LatentBound bound{0.0f, 0.0f, 0.0f};
    for (int64_t i = first + thread; i < last; i += kThreads) {
        bound = larger(in[i], bound);
    }
    largest[thread] = bound;
    for (int half = kThreads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) {
            largest[thread] = larger(largest[thread], largest[thread + half]);
        }
    }
    if (thread == 0) {
        out[blockIdx.x] = largest[0];
    }
}

} // namespace

cudaError_t launch_group_bounds(const ShadowView &shadow, cudaStream_t stream) {
    const int64_t groups = divide_up(shadow.d_sae, kLatentGroup);
    const cudaError_t error =
        launch(group_bounds_kernel, groups, stream, static_cast<const LatentBound *>(shadow.latents), shadow.d_sae,
               kLatentGroup, shadow.groups);
    return error != cudaSuccess
               ? error
               : launch(group_bounds_kernel, 1, stream, static_cast<const LatentBound *>(shadow.groups), groups, groups,
                        shadow.groups + groups);
}

cudaError_t launch_round_matrix(const float *matrix, int64_t rows, int64_t columns, uint16_t *rounded, int64_t depth,
                                cudaStream_t stream) {
    return launch(round_matrix_kernel, divide_up(rows, kWarps), stream, matrix, rows, columns, rounded, depth);
}

cudaError_t launch_round_latents(const float *w_enc, const float *b_enc, int64_t d_in, const ShadowView &shadow,
                                 cudaStream_t stream) {
    const cudaError_t error = launch(shadow.format == Narrow::kHalf ? round_latents_kernel<Narrow::kHalf>
                                                                    : round_latents_kernel<Narrow::kBf16>,
                                     divide_up(shadow.d_sae, kWarps), stream, w_enc, b_enc, d_in, shadow);
    return error != cudaSuccess ? error : launch_group_bounds(shadow, stream);
}

} // namespace sae::cuda
