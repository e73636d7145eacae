/*
 * aux_dense.cu: the auxiliary loss's products over the dead latents alone, as dense matrices.
 *
 * A part is up to `most` consecutive entries of the list of dead latents; their number n is on the device. With Z
 * [rows, n] the kept values of the part's latents, D [n, d_in] their decoder rows, X the encoder's input:
 *
 *   scatter:     Z[b, p] = the value of latent p in row b if the top-k kept it, else 0; including the padding of p to a
 *                multiple of kDepthStep; in bf16 for aux_bf16.cu
 *   reconstruct: a [rows, d_in] = Z D, added to the sums of the parts before (the first part writes)
 *   by_latent:   c [rows, n] = a W^T + b of the listed rows of a weight matrix: scores (choose_dead.cu); or
 *                T = dZ where Z > 0, else 0;  dZ = ga D^T
 *   gradients:   by_z [n, d_in] = Z^T ga;  by_dz [n, d_in] = T^T X;  bias [n] = column sums of T
 *
 * in:  indices int32, values float32 [rows, k]; rank, latents int32 (dead.cu); W_dec float32 [d_sae, d_in]; ga, X
 *      float32 [rows, d_in]; z, t float32 [rows, most]
 * Two kinds of products, with the same tiles' loops: split_product.cuh, bf16x3 on the tensor cores, which has the
 * argument for its error and what it costs; and with kernels=plain chains of float32 fused multiply-adds in the order
 * of rows (or of the dead), part by part. precision=bf16: aux_bf16.cu replaces everything but scatter.
 * Bytes: 4 rows (n + d_in) per product at least; 2 rows n d_in FLOP each, five of them with the scores. At d_in 4096,
 * 17,700 dead latents and 4,096 rows: 3.0 TFLOP in float32, 8.9 in bf16x3; before, all on float32 units in 64 x 64
 * tiles. Launches of a part: scatter and reconstruct; by_latent and gradients, after another scatter where parts share
 * their scratch (before: one more, for the bias). Parts follow in tiers (dead.h), so that few dead latents are one
 * part's launches: wide 14 in place of 176 (GPT-2 7 in place of 22), choice and update included.
 * Launch: blocks of 256 threads that take the 128 x 128 (plain: 64 x 64) tiles of the result in turn, so that without
 * dead latents a launch costs one read; scatter: one block per row. 33 KiB shared memory (8.5).
 * Deterministic: each result is one fixed sequence of sums.
 * Registers: at most 128 for bf16x3, so that two blocks fit a multiprocessor, for a few spilled words (docs/gpu.md);
 * gathers through functions, prefetched in registers, needed one block, or spilled ten times as much. Not measured on a
 * GPU yet.
 */
#include "aux_dense.h"

#include <algorithm>

#include "../device/bf16_bits.h"
#include "../encode/shadow.h"
#include "bias_tile.cuh"
#include "plain_product.cuh"
#include "split_product.cuh"

namespace sae::cuda {
namespace {

__device__ inline void put_kept(float value, float *target) { *target = value; }

/* Stays above 0 after rounding: a kept value gets a gradient. */
__device__ inline void put_kept(float value, uint16_t *target) {
    const uint16_t bits = to_bf16(value);
    *target = bits > 0 ? bits : uint16_t{1};
}

template <typename Element>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(DensePart part, const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                   const int *__restrict__ rank, Element *__restrict__ z) {
    const int64_t row = blockIdx.x;
    const int n = *part.count;
    if (n == 0) {
        return;
    }
    const int64_t filled = (n + kDepthStep - 1) / kDepthStep * kDepthStep;
    Element *target = z + row * part.most;
    for (int64_t p = threadIdx.x; p < filled && p < part.most; p += kThreads) {
        target[p] = Element{0};
    }
    __syncthreads();
    for (int64_t slot = threadIdx.x; slot < k; slot += kThreads) {
        const float value = values[row * k + slot];
        if (value > 0.0f) {
            const int64_t p = rank[indices[row * k + slot]] - part.first;
            if (p >= 0 && p < n) {
                put_kept(value, target + p);
            }
        }
    }
}

template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident)
    reconstruct_kernel(DensePart part, const float *__restrict__ z, const float *__restrict__ w_dec, int rows, int d_in,
                       float *__restrict__ out) {
    __shared__ typename Product::Shared shared;
    const int n = *part.count;
    const int column_tiles = static_cast<int>(tiles_of(d_in, Product::kTile));
    const int64_t tiles = n == 0 ? 0 : tiles_of(rows, Product::kTile) * column_tiles;
    const bool add = part.first > 0;
    const Factor<false> kept{z, part.most};
    const Factor<true> decoder{w_dec, d_in, part.latents};
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Product::tile(shared, static_cast<int>(tile / column_tiles) * Product::kTile,
                      static_cast<int>(tile % column_tiles) * Product::kTile, rows, d_in, n, kept, decoder,
                      [&](int row, int column, float sum) {
                          float &target = out[static_cast<int64_t>(row) * d_in + column];
                          target = add ? target + sum : sum;
                      });
    }
}

/* Row tiles fastest: blocks that run together share rows of W. */
template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident) by_latent_kernel(LatentProduct of) {
    __shared__ typename Product::Shared shared;
    const int n = *of.count < of.most ? *of.count : static_cast<int>(of.most);
    const auto rows = static_cast<int>(of.rows);
    const int row_tiles = static_cast<int>(tiles_of(rows, Product::kTile));
    const int64_t tiles = row_tiles * tiles_of(n, Product::kTile);
    const Factor<false> a{of.a, of.d_in};
    const Factor<false> w{of.w, of.d_in, of.latents};
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Product::tile(shared, static_cast<int>(tile % row_tiles) * Product::kTile,
                      static_cast<int>(tile / row_tiles) * Product::kTile, rows, n, static_cast<int>(of.d_in), a, w,
                      [&](int row, int column, float sum) {
                          const int64_t at = row * of.most + column;
                          const float c = sum + (of.bias == nullptr ? 0.0f : of.bias[of.latents[column]]);
                          of.out[at] = of.mask == nullptr || of.mask[at] > 0.0f ? c : 0.0f;
                      });
    }
}

/* Tiles of by_z, then of by_dz, then of the bias. */
template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident)
    dense_gradient_kernel(DensePart part, const float *__restrict__ z, const float *__restrict__ t,
                          const float *__restrict__ aux_gradient, const float *__restrict__ input, int rows, int d_in,
                          float *__restrict__ by_z, float *__restrict__ by_dz, float *__restrict__ bias) {
    __shared__ typename Product::Shared shared;
    const int n = *part.count;
    const int column_tiles = static_cast<int>(tiles_of(d_in, Product::kTile));
    const int64_t products = tiles_of(n, Product::kTile) * column_tiles;
    const int64_t all = 2 * products + tiles_of(n, kBiasTile);
    int64_t tile = blockIdx.x;
    for (; tile < 2 * products; tile += gridDim.x) {
        const bool first = tile < products;
        float *out = first ? by_z : by_dz;
        Product::tile(shared, static_cast<int>(tile % products / column_tiles) * Product::kTile,
                      static_cast<int>(tile % column_tiles) * Product::kTile, n, d_in, rows,
                      Factor<true>{first ? z : t, part.most}, Factor<true>{first ? aux_gradient : input, d_in},
                      [&](int p, int column, float sum) { out[static_cast<int64_t>(p) * d_in + column] = sum; });
    }
    for (; tile < all; tile += gridDim.x) {
        bias_tile((tile - 2 * products) * kBiasTile, n, rows,
                  [&](int64_t row, int64_t p) { return t[row * part.most + p]; }, bias);
    }
}

} // namespace

cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, float *z, cudaStream_t stream) {
    return launch(scatter_kernel<float>, rows, stream, part, indices, values, k, rank, z);
}

cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, uint16_t *z, cudaStream_t stream) {
    return launch(scatter_kernel<uint16_t>, rows, stream, part, indices, values, k, rank, z);
}

cudaError_t launch_reconstruct_dead(const Context &context, const DensePart &part, const float *z, const float *w_dec,
                                    int64_t rows, int64_t d_in, float *out) {
    return is_plain(context)
               ? launch(reconstruct_kernel<PlainProduct>, blocks_of<PlainProduct>(rows, d_in), context.stream, part, z,
                        w_dec, static_cast<int>(rows), static_cast<int>(d_in), out)
               : launch(reconstruct_kernel<SplitProduct>, blocks_of<SplitProduct>(rows, d_in), context.stream, part, z,
                        w_dec, static_cast<int>(rows), static_cast<int>(d_in), out);
}

cudaError_t launch_by_latent(const Context &context, const LatentProduct &of) {
    return is_plain(context)
               ? launch(by_latent_kernel<PlainProduct>, blocks_of<PlainProduct>(of.rows, of.most), context.stream, of)
               : launch(by_latent_kernel<SplitProduct>, blocks_of<SplitProduct>(of.rows, of.most), context.stream, of);
}

cudaError_t launch_dense_gradients(const Context &context, const DensePart &part, const float *z, const float *t,
                                   const float *aux_gradient, const float *input, int64_t rows, int64_t d_in,
                                   float *by_z, float *by_dz, float *bias) {
    return is_plain(context)
               ? launch(dense_gradient_kernel<PlainProduct>, PlainProduct::kBlocks, context.stream, part, z, t,
                        aux_gradient, input, static_cast<int>(rows), static_cast<int>(d_in), by_z, by_dz, bias)
               : launch(dense_gradient_kernel<SplitProduct>, SplitProduct::kBlocks, context.stream, part, z, t,
                        aux_gradient, input, static_cast<int>(rows), static_cast<int>(d_in), by_z, by_dz, bias);
}

} // namespace sae::cuda
