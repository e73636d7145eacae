/*
 * aux_dense.cu: the auxiliary loss's products over the dead latents alone, as dense matrices.
 *
 * A part is up to `most` consecutive entries of the list of dead latents; their number n is on the device. With Z
 * [rows, n] the kept values of the part's latents, D [n, d_in] their decoder rows, X the encoder's input:
 *
 *   scatter:     Z[b, p] = the value of latent p in row b if the top-k kept it, else 0; including the padding of p to a
 *                multiple of kDepthStep; in bf16 for aux_bf16.cu
 *   reconstruct: a [rows, d_in] = Z D, added to the sums of the parts before (the first part writes)
 *   gradients:   by_z [n, d_in] = Z^T ga;  by_dz [n, d_in] = T^T X;  bias [n] = column sums of T
 *                T = dZ where Z > 0, else 0;  dZ [rows, n] = ga D^T (matmul_nt.cu)
 *
 * in:  indices int32, values float32 [rows, k]; rank, latents int32 (dead.cu); W_dec float32 [d_sae, d_in]; ga, X
 *      float32 [rows, d_in]; z, dz float32 [rows, most]
 * Bytes: 4 rows (n + d_in) per product at least; 2 rows n d_in FLOP each.
 * Launch: blocks of 256 threads that take the 64 x 64 tiles of the result in turn, so that without dead latents a
 * launch costs one read; scatter: one block per row. 8.5 KiB shared memory.
 * Deterministic: each result is one chain of fused multiply-adds in the order of rows (or of the dead), part by part.
 * float32 without tensor cores; with precision=bf16 aux_bf16.cu replaces everything but scatter.
 * ptxas 13.0: 12 bytes of spills in reconstruct_kernel (sm_90a). Not measured on a GPU yet.
 */
#include "aux_dense.h"

#include <algorithm>

#include "../device/bf16_bits.h"
#include "../encode/shadow.h"

namespace sae::cuda {
namespace {

constexpr int kDenseTile = 64;
constexpr int kDenseDepth = 16;
constexpr int kDenseEach = 4; // rows and columns of a tile a thread computes
constexpr int kDenseSide = kDenseTile / kDenseEach;
constexpr int64_t kDenseBlocks = 528; // four for each of 132 multiprocessors

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

/* One tile of c = a b, a(i, p), b(p, j) and store(i, j, sum) being functions; AcrossRows: neighbouring i are adjacent
 * in memory, otherwise neighbouring p. */
template <bool AcrossRows, typename A, typename B, typename Store>
__device__ inline void tile_product(int64_t first_row, int64_t first_column, int64_t m, int64_t n, int64_t inner,
                                    const A &a, const B &b, const Store &store) {
    __shared__ float a_tile[kDenseDepth][kDenseTile + 4];
    __shared__ float b_tile[kDenseDepth][kDenseTile + 4];
    const int thread = static_cast<int>(threadIdx.x);
    const int thread_row = thread / kDenseSide * kDenseEach;
    const int thread_column = thread % kDenseSide * kDenseEach;
    float sum[kDenseEach][kDenseEach] = {};
    for (int64_t first = 0; first < inner; first += kDenseDepth) {
        for (int at = thread; at < kDenseTile * kDenseDepth; at += kThreads) {
            const int row = AcrossRows ? at % kDenseTile : at / kDenseDepth;
            const int p = AcrossRows ? at / kDenseTile : at % kDenseDepth;
            a_tile[p][row] = first_row + row < m && first + p < inner ? a(first_row + row, first + p) : 0.0f;
            const int column = at % kDenseTile;
            const int q = at / kDenseTile;
            b_tile[q][column] =
                first_column + column < n && first + q < inner ? b(first + q, first_column + column) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int p = 0; p < kDenseDepth; p++) {
#pragma unroll
            for (int i = 0; i < kDenseEach; i++) {
#pragma unroll
                for (int j = 0; j < kDenseEach; j++) {
                    sum[i][j] = fmaf(a_tile[p][thread_row + i], b_tile[p][thread_column + j], sum[i][j]);
                }
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < kDenseEach; i++) {
        for (int j = 0; j < kDenseEach; j++) {
            const int64_t row = first_row + thread_row + i;
            const int64_t column = first_column + thread_column + j;
            if (row < m && column < n) {
                store(row, column, sum[i][j]);
            }
        }
    }
}

__global__ void __launch_bounds__(kThreads)
    reconstruct_kernel(DensePart part, const float *__restrict__ z, const float *__restrict__ w_dec, int64_t rows,
                       int64_t d_in, float *__restrict__ out) {
    const int64_t n = *part.count;
    const int64_t column_tiles = (d_in + kDenseTile - 1) / kDenseTile;
    const int64_t tiles = n == 0 ? 0 : (rows + kDenseTile - 1) / kDenseTile * column_tiles;
    const bool add = part.first > 0;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += kDenseBlocks) {
        tile_product<false>(
            tile / column_tiles * kDenseTile, tile % column_tiles * kDenseTile, rows, d_in, n,
            [&](int64_t row, int64_t p) { return z[row * part.most + p]; },
            [&](int64_t p, int64_t column) { return w_dec[part.latents[p] * d_in + column]; },
            [&](int64_t row, int64_t column, float sum) {
                float &target = out[row * d_in + column];
                target = add ? target + sum : sum;
            });
    }
}

__global__ void __launch_bounds__(kThreads)
    dense_gradient_kernel(DensePart part, const float *__restrict__ z, const float *__restrict__ dz,
                          const float *__restrict__ aux_gradient, const float *__restrict__ input, int64_t rows,
                          int64_t d_in, float *__restrict__ by_z, float *__restrict__ by_dz) {
    const int64_t n = *part.count;
    const int64_t column_tiles = (d_in + kDenseTile - 1) / kDenseTile;
    const int64_t tiles = (n + kDenseTile - 1) / kDenseTile * column_tiles;
    for (int64_t tile = blockIdx.x; tile < 2 * tiles; tile += kDenseBlocks) {
        const int64_t first_row = tile % tiles / column_tiles * kDenseTile;
        const int64_t first_column = tile % column_tiles * kDenseTile;
        if (tile < tiles) {
            tile_product<true>(
                first_row, first_column, n, d_in, rows, [&](int64_t p, int64_t row) { return z[row * part.most + p]; },
                [&](int64_t row, int64_t column) { return aux_gradient[row * d_in + column]; },
                [&](int64_t p, int64_t column, float sum) { by_z[p * d_in + column] = sum; });
        } else {
            tile_product<true>(
                first_row, first_column, n, d_in, rows,
                [&](int64_t p, int64_t row) {
                    const int64_t at = row * part.most + p;
                    return z[at] > 0.0f ? dz[at] : 0.0f;
                },
                [&](int64_t row, int64_t column) { return input[row * d_in + column]; },
                [&](int64_t p, int64_t column, float sum) { by_dz[p * d_in + column] = sum; });
        }
    }
}

/* One thread per dead latent; neighbours read neighbouring columns. */
__global__ void __launch_bounds__(kThreads)
    dense_bias_kernel(DensePart part, const float *__restrict__ z, const float *__restrict__ dz, int64_t rows,
                      float *__restrict__ bias) {
    const int64_t p = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (p >= *part.count) {
        return;
    }
    double sum = 0.0;
#pragma unroll 8
    for (int64_t row = 0; row < rows; row++) {
        const int64_t at = row * part.most + p;
        sum += z[at] > 0.0f ? dz[at] : 0.0f;
    }
    bias[p] = static_cast<float>(sum);
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

cudaError_t launch_reconstruct_dead(const DensePart &part, const float *z, const float *w_dec, int64_t rows,
                                    int64_t d_in, float *out, cudaStream_t stream) {
    const int64_t tiles = divide_up(rows, kDenseTile) * divide_up(d_in, kDenseTile);
    return launch(reconstruct_kernel, std::min(tiles, kDenseBlocks), stream, part, z, w_dec, rows, d_in, out);
}

cudaError_t launch_dense_gradients(const DensePart &part, const float *z, const float *dz, const float *aux_gradient,
                                   const float *input, int64_t rows, int64_t d_in, float *by_z, float *by_dz,
                                   float *bias, cudaStream_t stream) {
    const cudaError_t error =
        launch(dense_gradient_kernel, kDenseBlocks, stream, part, z, dz, aux_gradient, input, rows, d_in, by_z, by_dz);
    return error != cudaSuccess
               ? error
               : launch(dense_bias_kernel, divide_up(part.most, kThreads), stream, part, z, dz, rows, bias);
}

} // namespace sae::cuda
