/*
 * aux_bf16.cu: the auxiliary loss's products over the dead latents on the tensor cores, with precision=bf16: what
 * aux_dense.cu computes, each product as x w^T of bf16 rows with float32 sums (preact_*.cu).
 *
 *   reconstruct  a [rows, d_in] = Z (D^T)^T         Z kept values, D decoder rows of a part's latents
 *   dz           dZ [rows, n] = ga D^T              D in place, its rows gathered by latent
 *   by_z         by_z [n, d_in] = (ga^T (Z^T)^T)^T  stored transposed, so that the device's latent count limits columns
 *   by_dz        by_dz [n, d_in] = (X^T (T^T)^T)^T  T = dZ where Z > 0, else 0
 *   bias [n]     column sums of T before it is rounded, in double
 *
 * What is multiplied is rounded to bf16: Z (a kept value stays above 0), D, ga, X and T; dZ itself is float32. The
 * kernels here write the operands: rows of bf16 along the dimension a product sums over, zero-padded to a multiple
 * of kDepthStep.
 *
 *   transpose_batch   ga and X of all rows, before the first part: ga [rows, depth], ga^T and X^T [d_in, B'], B' = rows
 *                     rounded up
 *   transpose_decoder D^T [d_in, most] of a part
 *   transpose_part    Z^T and T^T [most, B'] of a part, and the bias (before: a launch of its own for the bias)
 *
 * A part is a multiple of kLatentGroup, so that its latents fill the tiles of a product. FLOP: 2 rows n d_in per
 * product.
 * Bytes of the operands: transpose_batch 6 rows d_in read, 6 written; transpose_decoder 2 n d_in read and written;
 * transpose_part 14 rows n read (8 of them again from L1 or L2), 4 written; the products themselves as preact_plain.cu
 * says, with 4 rows n for dZ.
 * Launch: blocks of 256 threads that take tiles of 64 x 64 in turn, so that without dead latents a launch costs one
 * read. A tile is transposed in 8.3 KiB of shared memory (up to 18.5 KiB per kernel), two rows to a word and rows of 33
 * words: no bank conflicts.
 * Deterministic: each element has one writer; sums in the order of rows.
 * No alternatives tried yet. On Hopper dz uses sm_80's kernel, as does any product with names (preact_sm90.cu). Not
 * measured on a GPU yet.
 */
#include "aux_bf16.h"

#include <algorithm>

#include "../device/bf16_bits.h"
#include "../encode/preact.h"
#include "../encode/shadow.h"
#include "bias_tile.cuh"

namespace sae::cuda {
namespace {

constexpr int kTransposeTile = 64;    // rows and columns of a tile
constexpr int64_t kTurnBlocks = 1056; // eight for each of 132 multiprocessors
static_assert(kTransposeTile == kDepthStep && kThreads % kTransposeTile == 0,
              "a tile pads its own rows; a thread stays in its column");

__device__ inline int64_t transpose_tiles(int64_t size) { return (size + kTransposeTile - 1) / kTransposeTile; }

/* out[column, row] = value(row, column) over a tile, only for columns below `columns`. A thread reads values of one
 * column (thread % kTransposeTile), including rows and columns beyond the matrix, which must be 0. */
template <typename Value>
__device__ inline void transpose_tile(int64_t first_row, int64_t first_column, int64_t columns, const Value &value,
                                      uint16_t *out, int64_t stride) {
    constexpr int kPairs = kTransposeTile / 2; // of rows
    __shared__ uint32_t tile[kTransposeTile][kPairs + 1];
    const int thread = static_cast<int>(threadIdx.x);
    const int column = thread % kTransposeTile;
    for (int pair = thread / kTransposeTile; pair < kPairs; pair += kThreads / kTransposeTile) {
        const uint32_t even = value(first_row + 2 * pair, first_column + column);
        const uint32_t odd = value(first_row + 2 * pair + 1, first_column + column);
        tile[column][pair] = even | odd << 16;
    }
    __syncthreads();
    for (int at = thread; at < kTransposeTile * kPairs; at += kThreads) {
        const int64_t target = first_column + at / kPairs;
        if (target < columns) {
            reinterpret_cast<uint32_t *>(out + target * stride + first_row)[at % kPairs] =
                tile[at / kPairs][at % kPairs];
        }
    }
    __syncthreads(); // the next tile overwrites it
}

__global__ void __launch_bounds__(kThreads)
    transpose_batch_kernel(DeadBf16 dead, const float *__restrict__ aux_gradient) {
    const int64_t column_tiles = transpose_tiles(dead.d_in);
    const int64_t tiles = *dead.n_dead == 0 ? 0 : transpose_tiles(dead.rows) * column_tiles;
    const int64_t depth = dead.decoder.stride;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t first_row = tile / column_tiles * kTransposeTile;
        const int64_t first_column = tile % column_tiles * kTransposeTile;
        const auto gradient = [&](int64_t row, int64_t column) {
            const bool inside = row < dead.rows && column < dead.d_in;
            const uint16_t bits = to_bf16(inside ? aux_gradient[row * dead.d_in + column] : 0.0f);
            if (row < dead.rows) {
                dead.gradient[row * depth + column] = bits; // the last tile of columns ends at depth
            }
            return bits;
        };
        transpose_tile(first_row, first_column, dead.d_in, gradient, dead.gradient_transposed, dead.padded_rows);
        const auto input = [&](int64_t row, int64_t column) {
            return row < dead.rows ? dead.input[row * depth + column] : uint16_t{0};
        };
        transpose_tile(first_row, first_column, dead.d_in, input, dead.input_transposed, dead.padded_rows);
    }
}

__global__ void __launch_bounds__(kThreads) transpose_decoder_kernel(DeadBf16 dead, DensePart part) {
    const int64_t n = *part.count;
    const int64_t column_tiles = transpose_tiles(dead.d_in);
    const int64_t tiles = transpose_tiles(n) * column_tiles;
    const auto *decoder = static_cast<const uint16_t *>(dead.decoder.rows);
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const auto weight = [&](int64_t p, int64_t column) {
            return p < n ? decoder[part.latents[p] * dead.decoder.stride + column] : uint16_t{0};
        };
        transpose_tile(tile / column_tiles * kTransposeTile, tile % column_tiles * kTransposeTile, dead.d_in, weight,
                       dead.decoder_transposed, part.most);
    }
}

__global__ void __launch_bounds__(kThreads)
    transpose_part_kernel(DeadBf16 dead, DensePart part, float *__restrict__ bias) {
    const int64_t n = *part.count;
    const int64_t column_tiles = transpose_tiles(n);
    const int64_t tiles = transpose_tiles(dead.rows) * column_tiles;
    const auto kept = [&](int64_t row, int64_t p) {
        return row < dead.rows && p < n ? dead.z[row * part.most + p] : uint16_t{0};
    };
    const auto through = [&](int64_t row, int64_t p) {
        return kept(row, p) != 0 ? dead.dz[row * part.most + p] : 0.0f;
    };
    const int64_t biases = (n + kBiasTile - 1) / kBiasTile;
    for (int64_t tile = blockIdx.x; tile < tiles + biases; tile += gridDim.x) {
        if (tile >= tiles) {
            bias_tile((tile - tiles) * kBiasTile, n, dead.rows, through, bias);
            continue;
        }
        const int64_t first_row = tile / column_tiles * kTransposeTile;
        const int64_t first = tile % column_tiles * kTransposeTile;
        transpose_tile(first_row, first, n, kept, dead.z_transposed, dead.padded_rows);
        const auto rounded = [&](int64_t row, int64_t p) { return to_bf16(through(row, p)); };
        transpose_tile(first_row, first, n, rounded, dead.dz_transposed, dead.padded_rows);
    }
}

template <typename... Parameters, typename... Arguments>
cudaError_t transpose(void (*kernel)(Parameters...), int64_t rows, int64_t columns, cudaStream_t stream,
                      const Arguments &...arguments) {
    const int64_t tiles = divide_up(rows, kTransposeTile) * divide_up(columns, kTransposeTile);
    return launch(kernel, std::min(tiles, kTurnBlocks), stream, arguments...);
}

/* gradient [n, d_in]: transposed_rows [d_in, B'] times transposed_part [most, B'], transposed. */
cudaError_t weight_gradient(const Context &context, const DeadBf16 &dead, const DensePart &part,
                            const uint16_t *transposed_rows, const uint16_t *transposed_part, float *gradient) {
    const Operands operands{
        .x = transposed_rows,
        .rows = dead.d_in,
        .w = transposed_part,
        .d_sae = part.most,
        .depth = dead.padded_rows,
        .n_active = part.count,
        .last = part.most,
    };
    return launch_preactivations(context, operands, ScoreTarget{gradient, dead.d_in, Store::kTransposed});
}

} // namespace

cudaError_t launch_reconstruct_dead(const Context &context, const DeadBf16 &dead, const DensePart &part, float *out) {
    const cudaError_t error = transpose(transpose_decoder_kernel, part.most, dead.d_in, context.stream, dead, part);
    if (error != cudaSuccess) {
        return error;
    }
    const Operands operands{
        .x = dead.z,
        .rows = dead.rows,
        .w = dead.decoder_transposed,
        .d_sae = dead.d_in,
        .depth = part.most,
        .last = dead.d_in,
        .n_depth = part.count,
    };
    const Store how = part.first > 0 ? Store::kAdd : Store::kSet;
    return launch_preactivations(context, operands, ScoreTarget{out, dead.d_in, how});
}

cudaError_t launch_transpose_batch(const DeadBf16 &dead, const float *aux_gradient, cudaStream_t stream) {
    return transpose(transpose_batch_kernel, dead.rows, dead.d_in, stream, dead, aux_gradient);
}

cudaError_t launch_dense_gradients(const Context &context, const DeadBf16 &dead, const DensePart &part, float *by_z,
                                   float *by_dz, float *bias) {
    const Operands operands{
        .x = dead.gradient,
        .rows = dead.rows,
        .w = static_cast<const uint16_t *>(dead.decoder.rows),
        .d_sae = dead.d_sae,
        .depth = dead.decoder.stride,
        .names = part.latents,
        .n_active = part.count,
        .last = part.most,
    };
    cudaError_t error = launch_preactivations(context, operands, ScoreTarget{dead.dz, part.most});
    if (error == cudaSuccess) {
        error = transpose(transpose_part_kernel, dead.rows, part.most, context.stream, dead, part, bias);
    }
    if (error == cudaSuccess) {
        error = weight_gradient(context, dead, part, dead.gradient_transposed, dead.z_transposed, by_z);
    }
    return error != cudaSuccess
               ? error
               : weight_gradient(context, dead, part, dead.input_transposed, dead.dz_transposed, by_dz);
}

} // namespace sae::cuda
