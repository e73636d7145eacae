/*
 * batch_cut.cu: the `count` largest entries of ragged rows, of equal ones the first; rows and their order stay.
 *
 * in:  values float32 [total], all positive, and the rows they belong to
 * out: ragged rows of `count` entries
 * Radix select of the count-th largest value, 8 bits a pass from the top (the bits of positive floats order as integers);
 * then each row's larger and equal entries are counted, running sums say how many of the equal ones stay in which row, and
 * the rows are filled in order. Bytes: 4 reads of 4 total for the value, 2 for counting and filling.
 * Launch: at most 512 blocks of 256 threads for a pass; a block per row; running sums in one block. Deterministic: integer
 * atomics only count. Not measured yet.
 */
#include "batch_cut.h"

#include <algorithm>

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int64_t kMostBlocks = 512;
static_assert(kDigits == kCutCounts && kDigits == kThreads, "a thread per digit");

/* Of the entries whose bits above `shift` + kDigitBits are those of the cut so far. */
__global__ void __launch_bounds__(kThreads)
    digits_kernel(const float *__restrict__ values, int64_t total, int shift, const BatchCut *__restrict__ cut,
                  unsigned *__restrict__ counts) {
    __shared__ unsigned of_block[kDigits];
    of_block[threadIdx.x] = 0;
    __syncthreads();
    const uint32_t prefix = __float_as_uint(cut->value);
    const uint32_t mask = shift + kDigitBits == 32 ? 0u : 0xFFFFFFFFu << (shift + kDigitBits);
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < total;
         i += static_cast<int64_t>(gridDim.x) * kThreads) {
        const uint32_t bits = __float_as_uint(values[i]);
        if ((bits & mask) == prefix) {
            atomicAdd(&of_block[bits >> shift & (kDigits - 1)], 1u);
        }
    }
    __syncthreads();
    if (of_block[threadIdx.x] != 0) {
        atomicAdd(&counts[threadIdx.x], of_block[threadIdx.x]);
    }
}

/* One block: the digit of the entry wanted, and how many of its digit are. */
__global__ void __launch_bounds__(kThreads)
    digit_kernel(const unsigned *__restrict__ counts, int shift, BatchCut *__restrict__ cut) {
    const int digit = kDigits - 1 - static_cast<int>(threadIdx.x); // thread 0 has the largest
    const int64_t wanted = cut->ties;
    const float value = cut->value;
    const int64_t own = counts[digit];
    int64_t all = 0;
    const int64_t before = block_scan<int64_t>(own, all);
    if (before < wanted && before + own >= wanted) {
        cut->value = __uint_as_float(__float_as_uint(value) | static_cast<uint32_t>(digit) << shift);
        cut->ties = wanted - before;
    }
}

__global__ void __launch_bounds__(kThreads) start_kernel(int64_t count, BatchCut *cut) {
    if (threadIdx.x == 0) {
        *cut = BatchCut{0.0f, 0, count};
    }
}

__global__ void __launch_bounds__(kThreads)
    count_cut_kernel(Ragged from, const BatchCut *__restrict__ cut, int *__restrict__ above, int *__restrict__ equal) {
    const int64_t row = blockIdx.x;
    int larger = 0;
    int same = 0;
    for (int64_t at = from.starts[row] + threadIdx.x; at < from.starts[row + 1]; at += kThreads) {
        larger += from.values[at] > cut->value;
        same += from.values[at] == cut->value;
    }
    int all_larger = 0;
    int all_same = 0;
    block_scan(larger, all_larger);
    block_scan(same, all_same);
    if (threadIdx.x == 0) {
        above[row] = all_larger;
        equal[row] = all_same;
    }
}

/* One block: kept = above + how many of the row's equal entries stay, which replaces `equal`. */
__global__ void __launch_bounds__(kThreads)
    share_ties_kernel(const BatchCut *__restrict__ cut, int64_t rows, int *__restrict__ kept, int *__restrict__ equal) {
    int64_t left = cut->ties;
    for (int64_t tile = 0; tile < rows; tile += kThreads) {
        const int64_t row = tile + threadIdx.x;
        const int64_t own = row < rows ? equal[row] : 0;
        int64_t all = 0;
        const int64_t free = left - block_scan(own, all);
        if (row < rows) {
            const int64_t ties = free <= 0 ? 0 : free < own ? free : own;
            equal[row] = static_cast<int>(ties);
            kept[row] += static_cast<int>(ties);
        }
        left -= all;
    }
}

__global__ void __launch_bounds__(kThreads)
    fill_cut_kernel(Ragged from, const BatchCut *__restrict__ cut, const int *__restrict__ ties, Ragged into) {
    const int64_t row = blockIdx.x;
    const int64_t last = from.starts[row + 1];
    int64_t at = into.starts[row];
    int64_t left = ties[row];
    for (int64_t tile = from.starts[row]; tile < last; tile += kThreads) {
        const int64_t entry = tile + threadIdx.x;
        const float value = entry < last ? from.values[entry] : 0.0f;
        const bool same = entry < last && value == cut->value;
        int all_same = 0;
        const int same_before = block_scan<int>(same ? 1 : 0, all_same);
        const bool stays = entry < last && (value > cut->value || (same && same_before < left));
        int all = 0;
        const int before = block_scan<int>(stays ? 1 : 0, all);
        if (stays && at + before < into.room) {
            into.indices[at + before] = from.indices[entry];
            into.values[at + before] = value;
        }
        at += all;
        left -= all_same;
    }
}

} // namespace

cudaError_t launch_find_cut(const float *values, int64_t total, int64_t count, BatchCut *cut, unsigned *counts,
                            cudaStream_t stream) {
    cudaError_t error = launch(start_kernel, 1, stream, count, cut);
    for (int shift = 32 - kDigitBits; shift >= 0 && error == cudaSuccess; shift -= kDigitBits) {
        error = cudaMemsetAsync(counts, 0, kCutCounts * sizeof(unsigned), stream);
        if (error == cudaSuccess) {
            error = launch(digits_kernel, std::min(divide_up(total, kThreads), kMostBlocks), stream, values, total,
                           shift, cut, counts);
        }
        if (error == cudaSuccess) {
            error = launch(digit_kernel, 1, stream, counts, shift, cut);
        }
    }
    return error;
}

cudaError_t launch_cut(const Ragged &from, int64_t rows, const BatchCut *cut, int *kept, int *equal, const Ragged &into,
                       cudaStream_t stream) {
    cudaError_t error = launch(count_cut_kernel, rows, stream, from, cut, kept, equal);
    if (error == cudaSuccess) {
        error = launch(share_ties_kernel, 1, stream, cut, rows, kept, equal);
    }
    if (error == cudaSuccess) {
        error = launch_scan(kept, 0, rows, into, stream);
    }
    return error == cudaSuccess ? launch(fill_cut_kernel, rows, stream, from, cut, equal, into) : error;
}

} // namespace sae::cuda
