/*
 * ragged.cu: the latents of rows that fire, as ragged rows in the order of latents.
 *
 * in:  products float32 [rows, m] of rows with all latents, or lists of what fires
 * out: starts int64 [rows + 1], offsets int32 [rows + 1], indices int32 and values float32 [entries]
 * Count, running sum, fill. Counting and filling read the products once each (the second time from L2, where the caller
 * keeps to as many rows as fit there): 8 rows m bytes; entries take 8 bytes.
 * Launch: a block of 256 threads per row; the running sum is one block, 256 rows at a time. Deterministic: places follow
 * from ballots and running sums, nothing is appended. Not measured yet.
 */
#include "ragged.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__device__ inline int64_t row_of(const Products &products, int64_t slot) {
    return products.names == nullptr ? products.first_row + slot : products.names[slot];
}

__global__ void __launch_bounds__(kThreads) count_kernel(Products products, int *__restrict__ kept) {
    const int64_t slot = blockIdx.x;
    const float *scores = products.scores + slot * products.columns;
    int own = 0;
    for (int64_t latent = threadIdx.x; latent < products.columns; latent += kThreads) {
        own += products.firing(scores[latent], latent) > 0.0f;
    }
    int all = 0;
    block_scan(own, all);
    if (threadIdx.x == 0) {
        kept[row_of(products, slot)] = all;
    }
}

__global__ void __launch_bounds__(kThreads)
    scan_kernel(const int *__restrict__ kept, int64_t first, int64_t rows, Ragged into) {
    int64_t start = into.starts[first];
    __syncthreads(); // everyone has read it
    for (int64_t tile = 0; tile <= rows; tile += kThreads) {
        const int64_t row = tile + threadIdx.x;
        int64_t all = 0;
        const int64_t before = block_scan<int64_t>(row < rows ? kept[first + row] : 0, all);
        if (row <= rows) {
            const int64_t at = start + before;
            into.starts[first + row] = at;
            if (into.offsets != nullptr) {
                into.offsets[first + row] = static_cast<int>(at < INT_MAX ? at : INT_MAX);
            }
        }
        start += all;
    }
}

__device__ inline void put(const Ragged &into, int64_t at, int64_t latent, float value) {
    if (at < into.room) {
        into.indices[at] = static_cast<int>(latent);
        into.values[at] = value;
    }
}

__global__ void __launch_bounds__(kThreads) fill_kernel(Products products, Ragged into) {
    const int64_t slot = blockIdx.x;
    const float *scores = products.scores + slot * products.columns;
    int64_t at = into.starts[row_of(products, slot)];
    for (int64_t tile = 0; tile < products.columns; tile += kThreads) {
        const int64_t latent = tile + threadIdx.x;
        const float value = latent < products.columns ? products.firing(scores[latent], latent) : 0.0f;
        int all = 0;
        const int before = block_scan<int>(value > 0.0f ? 1 : 0, all);
        if (value > 0.0f) {
            put(into, at + before, latent, value);
        }
        at += all;
    }
}

__global__ void __launch_bounds__(kThreads)
    fill_listed_kernel(const uint64_t *__restrict__ list, int64_t capacity, const int *__restrict__ count,
                       const int *__restrict__ kept, int64_t first, Ragged into) {
    const int64_t row = blockIdx.x;
    if (count[row] < 0) {
        return;
    }
    const int64_t start = into.starts[first + row];
    for (int64_t i = threadIdx.x; i < kept[first + row]; i += kThreads) {
        const uint64_t entry = list[row * capacity + i];
        put(into, start + i, static_cast<uint32_t>(entry), __uint_as_float(static_cast<uint32_t>(entry >> 32)));
    }
}

} // namespace

cudaError_t launch_count(const Products &products, int64_t slots, int *kept, cudaStream_t stream) {
    return launch(count_kernel, slots, stream, products, kept);
}

cudaError_t launch_scan(const int *kept, int64_t first, int64_t rows, const Ragged &into, cudaStream_t stream) {
    return launch(scan_kernel, 1, stream, kept, first, rows, into);
}

cudaError_t launch_fill(const Products &products, int64_t slots, const Ragged &into, cudaStream_t stream) {
    return launch(fill_kernel, slots, stream, products, into);
}

cudaError_t launch_fill_listed(const uint64_t *list, int64_t capacity, const int *count, const int *kept, int64_t first,
                               int64_t rows, const Ragged &into, cudaStream_t stream) {
    return launch(fill_listed_kernel, rows, stream, list, capacity, count, kept, first, into);
}

} // namespace sae::cuda
