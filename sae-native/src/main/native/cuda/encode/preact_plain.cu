/*
 * preact_plain.cu: pre-activations from rows in 16 bits, in portable CUDA: defines what the kernels for sm_80 and sm_90
 * compute, and runs where they cannot.
 *
 *   z'[i, c] = sum_p x'[i, p] w'[r(c), p] + b[r(c)]        r(c) = names[c], or c; float32 sums
 *
 * in:  x' [rows, depth] and w' [m, depth], bf16 or half, bias float32 [m] or null; depth a multiple of 64; the number of
 *      columns and the depth used may be limited by values on the device (preact.h)
 * out: dense scores or lists of candidates (epilogue.cuh)
 * Bytes at least 2 depth (rows + columns), and 4 rows columns where they are stored; 2 rows columns depth FLOP.
 * Launch: one block of 256 threads per 64 x 64 tile (row tiles fastest), 4 x 4 results per thread; 8.5 KiB shared
 * memory.
 * Deterministic: one chain of fused multiply-adds per result, in the order of p; lists as sets (epilogue.cuh).
 * Plain on purpose: ptxas 13.0 reports up to 12 bytes of spills and 80 of stack. Not measured yet.
 */
#include "../device/narrow_bits.h"
#include "epilogue.cuh"
#include "preact.h"

namespace sae::cuda {
namespace {

constexpr int kPlainTile = 64;
constexpr int kPlainDepth = 16;
constexpr int kPlainEach = 4;
constexpr int kPlainSide = kPlainTile / kPlainEach;
constexpr int kPlainPadding = 4;
static_assert(kPlainSide * kPlainSide == kThreads, "a block covers its tile exactly");

/* [kPlainTile, kPlainDepth] of a matrix, transposed; rows beyond the last repeat it. */
template <Narrow kFormat>
__device__ inline void load_plain(float (&tile)[kPlainDepth][kPlainTile + kPlainPadding], const uint16_t *matrix,
                                  const int *names, int64_t first_row, int64_t rows, int64_t first, int64_t depth) {
    for (int at = static_cast<int>(threadIdx.x); at < kPlainTile * kPlainDepth; at += kThreads) {
        const int64_t row = first_row + at / kPlainDepth < rows ? first_row + at / kPlainDepth : rows - 1;
        const int64_t source = names == nullptr ? row : names[row];
        tile[at % kPlainDepth][at / kPlainDepth] =
            from_narrow<kFormat>(matrix[source * depth + first + at % kPlainDepth]);
    }
}

template <Narrow kFormat, typename Epilogue>
__global__ void __launch_bounds__(kThreads) preact_plain_kernel(Operands operands, Epilogue epilogue) {
    __shared__ float x_tile[kPlainDepth][kPlainTile + kPlainPadding];
    __shared__ float w_tile[kPlainDepth][kPlainTile + kPlainPadding];
    const int64_t row_tiles = (operands.rows + kPlainTile - 1) / kPlainTile;
    const int64_t first_row = static_cast<int64_t>(blockIdx.x) % row_tiles * kPlainTile;
    const int64_t first_column = operands.first + static_cast<int64_t>(blockIdx.x) / row_tiles * kPlainTile;
    const Columns columns{operands.bias, operands.names, operands.first, last_column(operands)};
    if (first_column >= columns.last) {
        return; // the same for the whole block
    }
    const int thread_row = static_cast<int>(threadIdx.x) / kPlainSide * kPlainEach;
    const int thread_column = static_cast<int>(threadIdx.x) % kPlainSide * kPlainEach;
    float sum[kPlainEach][kPlainEach] = {};
    const int64_t depth = last_depth(operands);
    for (int64_t first = 0; first < depth; first += kPlainDepth) {
        load_plain<kFormat>(x_tile, operands.x, nullptr, first_row, operands.rows, first, operands.depth);
        load_plain<kFormat>(w_tile, operands.w, operands.names, first_column, columns.last, first, operands.depth);
        __syncthreads();
        for (int p = 0; p < kPlainDepth; p++) {
            for (int i = 0; i < kPlainEach; i++) {
                for (int j = 0; j < kPlainEach; j++) {
                    sum[i][j] = fmaf(x_tile[p][thread_row + i], w_tile[p][thread_column + j], sum[i][j]);
                }
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < kPlainEach; i++) {
        for (int j = 0; j < kPlainEach; j++) {
            epilogue.one(columns, first_row + thread_row + i, first_column + thread_column + j, sum[i][j]);
        }
    }
}

template <Narrow kFormat, typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const int64_t tiles = divide_up(operands.rows, kPlainTile) * divide_up(operands.last - operands.first, kPlainTile);
    return launch(preact_plain_kernel<kFormat, Epilogue>, tiles, context.stream, operands, epilogue);
}

} // namespace

cudaError_t launch_plain(const Context &context, const Operands &operands, const ScoreTarget &target) {
    if (operands.format == Narrow::kHalf) { // of a screen's first round
        return run<Narrow::kHalf>(context, operands, StoreScores<Store::kSet>{target, operands.rows});
    }
    return storing(target, operands.rows,
                   [&](const auto &epilogue) { return run<Narrow::kBf16>(context, operands, epilogue); });
}

cudaError_t launch_plain(const Context &context, const Operands &operands, const ListTarget &target) {
    return operands.format == Narrow::kHalf
               ? run<Narrow::kHalf>(context, operands, ListCandidates<true>{target, operands.rows})
               : run<Narrow::kBf16>(context, operands, ListCandidates<false>{target, operands.rows});
}

} // namespace sae::cuda
