/*
 * plain_product.cuh: a tile of a product on float32 units, with the interface of SplitProduct (split_product.cuh): chains
 * of fused multiply-adds in the order of p, for kernels=plain. And what kernels need that take either.
 */
#ifndef SAE_CUDA_PLAIN_PRODUCT_CUH
#define SAE_CUDA_PLAIN_PRODUCT_CUH

#include <algorithm>

#include "split_product.cuh"

namespace sae::cuda {
namespace {

struct PlainProduct {
    static constexpr int kTile = 64;
    static constexpr int kResident = 4; // blocks of a multiprocessor
    static constexpr int64_t kBlocks = 132 * kResident;
    static constexpr int kDepth = 16;
    static constexpr int kEach = 4; // rows and columns of a tile a thread computes
    static constexpr int kSide = kTile / kEach;

    struct Shared {
        float a[kDepth][kTile + 4];
        float b[kDepth][kTile + 4];
    };

    template <bool AcrossA, bool AcrossB, typename Store>
    __device__ static inline void tile(Shared &shared, int first_row, int first_column, int m, int n, int inner,
                                       const Factor<AcrossA> &a, const Factor<AcrossB> &b, const Store &store) {
        const int thread = static_cast<int>(threadIdx.x);
        const int thread_row = thread / kSide * kEach;
        const int thread_column = thread % kSide * kEach;
        float sum[kEach][kEach] = {};
        for (int first = 0; first < inner; first += kDepth) {
            for (int at = thread; at < kTile * kDepth; at += kThreads) {
                const int row = AcrossA ? at % kTile : at / kDepth;
                const int p = AcrossA ? at / kTile : at % kDepth;
                shared.a[p][row] = first_row + row < m && first + p < inner ? a.at(first_row + row, first + p) : 0.0f;
                const int column = AcrossB ? at % kTile : at / kDepth;
                const int q = AcrossB ? at / kTile : at % kDepth;
                shared.b[q][column] =
                    first_column + column < n && first + q < inner ? b.at(first_column + column, first + q) : 0.0f;
            }
            __syncthreads();
#pragma unroll
            for (int p = 0; p < kDepth; p++) {
#pragma unroll
                for (int i = 0; i < kEach; i++) {
#pragma unroll
                    for (int j = 0; j < kEach; j++) {
                        sum[i][j] = fmaf(shared.a[p][thread_row + i], shared.b[p][thread_column + j], sum[i][j]);
                    }
                }
            }
            __syncthreads();
        }
        for (int i = 0; i < kEach; i++) {
            for (int j = 0; j < kEach; j++) {
                const int row = first_row + thread_row + i;
                const int column = first_column + thread_column + j;
                if (row < m && column < n) {
                    store(row, column, sum[i][j]);
                }
            }
        }
    }
};

__host__ __device__ inline int64_t tiles_of(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

inline bool is_plain(const Context &context) { return context.kernels == Kernels::kPlain; }

/* Of a launch whose blocks take the tiles of a result in turn. */
template <typename Product>
int64_t blocks_of(int64_t rows, int64_t columns) {
    return std::min(tiles_of(rows, Product::kTile) * tiles_of(columns, Product::kTile), Product::kBlocks);
}

} // namespace
} // namespace sae::cuda
#endif
