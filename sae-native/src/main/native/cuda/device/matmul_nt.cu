/*
 * matmul_nt.cu: the dense product of two row-major matrices, c = a b^T, in float32.
 *
 *   c[i, j] = sum_p a[i, p] b[r(j), p] + bias[r(j)]        r(j) = b_rows[j], or j
 *
 * in:  a float32 [m, inner]; b float32 [*, inner]; b_rows int32 [n] or null; bias float32 or null;
 *      n_active int32 [1] on the device or null: only the first min(n, *n_active) columns are computed
 * out: c float32 [m, n]
 * Bytes at least 4 (m inner + n inner + m n), 2 m n inner FLOP. 4-byte alignment suffices.
 * Launch: one block of 256 threads per 64 x 64 tile of c (row tiles fastest, so that blocks that run together share
 * rows of b); 4 x 4 results per thread; 8.5 KiB static shared memory.
 * Deterministic: each result is one fused multiply-add chain in the order of p. The chain is float32, like the
 * reference BLAS: relative error about inner * 2^-24 of |a| |b| at worst.
 * Not yet run on a GPU; plain on purpose, no tensor cores.
 */
#include "matmul_nt.h"

#include "../operations.h"

namespace sae::cuda {
namespace {

constexpr int kTile = 64;     // rows and columns of c a block computes
constexpr int kDepth = 16;    // elements of the inner dimension held in shared memory at a time
constexpr int kPerThread = 4; // rows and columns of c a thread computes
constexpr int kPadding = 4;   // keeps the transposing stores off the same bank
constexpr int kSide = kTile / kPerThread;
static_assert(kSide * kSide == kThreads, "a block covers its tile exactly");

/* Loads [kTile, kDepth] of a row-major matrix, transposed; outside the matrix: 0. */
__device__ inline void load_tile(float (&tile)[kDepth][kTile + kPadding], const float *matrix, const int *rows,
                                 int64_t first_row, int64_t n_rows, int64_t first, int64_t inner) {
    for (int at = static_cast<int>(threadIdx.x); at < kTile * kDepth; at += kThreads) {
        const int row = at / kDepth;
        const int column = at % kDepth;
        const bool inside = first_row + row < n_rows && first + column < inner;
        float value = 0.0f;
        if (inside) {
            const int64_t source = rows == nullptr ? first_row + row : rows[first_row + row];
            value = matrix[source * inner + first + column];
        }
        tile[column][row] = value;
    }
}

__global__ void __launch_bounds__(kThreads)
    matmul_nt_kernel(const float *__restrict__ a, int64_t m, const float *__restrict__ b, int64_t n, int64_t inner,
                     const int *__restrict__ b_rows, const int *__restrict__ n_active, const float *__restrict__ bias,
                     float *__restrict__ c) {
    __shared__ float a_tile[kDepth][kTile + kPadding];
    __shared__ float b_tile[kDepth][kTile + kPadding];
    const int64_t row_tiles = (m + kTile - 1) / kTile;
    const int64_t first_row = static_cast<int64_t>(blockIdx.x) % row_tiles * kTile;
    const int64_t first_column = static_cast<int64_t>(blockIdx.x) / row_tiles * kTile;
    const int64_t columns = n_active != nullptr && *n_active < n ? *n_active : n;
    if (first_column >= columns) {
        return; // the same for the whole block
    }
    const int thread_row = static_cast<int>(threadIdx.x) / kSide;
    const int thread_column = static_cast<int>(threadIdx.x) % kSide;
    float sum[kPerThread][kPerThread] = {};
    for (int64_t first = 0; first < inner; first += kDepth) {
        load_tile(a_tile, a, nullptr, first_row, m, first, inner);
        load_tile(b_tile, b, b_rows, first_column, columns, first, inner);
        __syncthreads();
        for (int p = 0; p < kDepth; p++) {
            for (int i = 0; i < kPerThread; i++) {
                for (int j = 0; j < kPerThread; j++) {
                    sum[i][j] = fmaf(a_tile[p][thread_row * kPerThread + i], b_tile[p][thread_column * kPerThread + j],
                                     sum[i][j]);
                }
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < kPerThread; i++) {
        const int64_t row = first_row + thread_row * kPerThread + i;
        for (int j = 0; j < kPerThread; j++) {
            const int64_t column = first_column + thread_column * kPerThread + j;
            if (row < m && column < columns) {
                const int64_t source = b_rows == nullptr ? column : b_rows[column];
                c[row * n + column] = sum[i][j] + (bias == nullptr ? 0.0f : bias[source]);
            }
        }
    }
}

} // namespace

cudaError_t launch_matmul_nt(const float *a, int64_t m, const float *b, int64_t n, int64_t inner, const int *b_rows,
                             const int *n_active, const float *bias, float *c, cudaStream_t stream) {
    const int64_t tiles = divide_up(m, kTile) * divide_up(n, kTile);
    return launch(matmul_nt_kernel, tiles, stream, a, m, b, n, inner, b_rows, n_active, bias, c);
}

namespace {

struct MatmulScratch {
    Staged<float> a;
    Staged<float> b;
    Staged<float> c;

    MatmulScratch(Carver &carver, int64_t m, int64_t n, int64_t inner, const Buffer &a_, const Buffer &b_,
                  const Buffer &c_)
        : a(carver, a_, m * inner), b(carver, b_, n * inner), c(carver, c_, m * n) {}
};

} // namespace

sae_status matmul_nt(void *handle, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        const auto scratch = context.scratch.make<MatmulScratch>(m, n, inner, *static_cast<Buffer *>(a),
                                                                 *static_cast<Buffer *>(b), *static_cast<Buffer *>(c));
        check(launch_matmul_nt(scratch.a.upload(), m, scratch.b.upload(), n, inner, nullptr, nullptr, nullptr,
                               scratch.c.address, context.stream),
              "multiplying matrices");
        scratch.c.download();
    });
}

} // namespace sae::cuda
