/*
 * warp_dot.cuh: the dot product that defines float32 values here, and the same for a tile of rows and latents.
 *
 * Lane l adds up elements l Width + 32 Width n in the order of n, for each of Width places; then the places, then the
 * lanes (reduce.cuh). A tile gives the same bits as one product after the other, so that a value does not depend on
 * whether its row's list overflowed.
 */
#ifndef SAE_CUDA_WARP_DOT_CUH
#define SAE_CUDA_WARP_DOT_CUH

#include "../device/reduce.cuh"
#include "../device/vectors.cuh"

namespace sae::cuda {

/* sums[r][l] = <x[r], w[l]> over d elements, d a multiple of Width; every lane gets them. */
template <int Width, typename Element, int Rows, int Latents>
__device__ inline void warp_dots(const Element *const (&x)[Rows], const Element *const (&w)[Latents], int64_t d,
                                 float (&sums)[Rows][Latents]) {
    float part[Rows][Latents][Width] = {};
    for (int64_t i = static_cast<int64_t>(threadIdx.x) % kWarp * Width; i < d; i += kWarp * Width) {
        float of_row[Rows][Width];
        float of_latent[Latents][Width];
#pragma unroll
        for (int row = 0; row < Rows; row++) {
            load(x[row] + i, of_row[row]);
        }
#pragma unroll
        for (int latent = 0; latent < Latents; latent++) {
            load(w[latent] + i, of_latent[latent]);
        }
#pragma unroll
        for (int row = 0; row < Rows; row++) {
#pragma unroll
            for (int latent = 0; latent < Latents; latent++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    part[row][latent][at] = fmaf(of_row[row][at], of_latent[latent][at], part[row][latent][at]);
                }
            }
        }
    }
#pragma unroll
    for (int row = 0; row < Rows; row++) {
#pragma unroll
        for (int latent = 0; latent < Latents; latent++) {
            const float(&of)[Width] = part[row][latent];
            if constexpr (Width == 4) {
                sums[row][latent] = warp_sum((of[0] + of[1]) + (of[2] + of[3]));
            } else {
                sums[row][latent] = warp_sum(of[0]);
            }
        }
    }
}

__device__ inline float warp_dot(const float *x, const float *w, int64_t d_in) {
    const float *const rows[1] = {x};
    const float *const latents[1] = {w};
    float sum[1][1];
    if (d_in % 4 == 0) {
        warp_dots<4>(rows, latents, d_in, sum);
    } else {
        warp_dots<1>(rows, latents, d_in, sum);
    }
    return sum[0][0];
}

} // namespace sae::cuda
#endif
