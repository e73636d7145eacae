/*
 * select.cu: the k largest of ReLU(row) for each row, in one pass over the row: exact, sorted, ties by index.
 *
 * in:  dense scores float32 [rows, width], or lists of candidates (select.h, Choice), or first one and then the other
 * out: indices int32 [rows, k] and values float32 [rows, k], as topk.cuh orders and fills them; or, between two rounds
 *      of pre-activations, each row's threshold and the list of candidates for its k largest
 *
 * A score z' is within M of its value (rounding.cuh; M = 0: it is the value). Everything with z' + M < t is dropped, t
 * being the k-th largest lower bound z' - M so far (never below 0; values that cannot be positive are dropped too). A
 * row in 4 steps:
 *
 *   1. a segment of columns that fits the free part of the list in shared memory is read, 16 bytes per thread and load;
 *      candidates by their group's M, then by their own, are appended: ballots, one shared atomic per warp
 *   2. when the list is more than half full: t by radix select over 32-bit lower bounds, the list shrunk in place
 *   3. the final candidates get their float32 value (four at a time by a warp, by warp_dot.cuh, as where a row is
 *      recomputed, so that the result does not depend on a row's path), in the order of their columns
 *   4. keys (value, then lower column) are sorted, k of them written; below k positive values: 0 at the lowest free columns
 *
 * If a list overflows (values that are equal, or close relative to M): with dense float32 scores the row is chosen by
 * radix select (topk.cuh), otherwise it goes into `overflowed`, and recompute.cu computes all of its values.
 * Bytes: 4 rows width read, 8 rows k written. Step 3 gathers 4 d_in bytes for each of the final candidates, of which there
 * are k and what the bound cannot tell from them (overflow_check.cpp, normal weights, 4096 rows; not with precision=bf16):
 *
 *   d_in, d_sae, k      screened in bfloat16    in halves
 *   768, 12288, 16       30.5 = 1.9 k  0.4 GB   17.9 = 1.1 k  0.2 GB
 *   2048, 14336, 48     128.6 = 2.7 k  4.3 GB   58.4 = 1.2 k  2.0 GB
 *   3072, 18432, 64     226.6 = 3.5 k 11.4 GB   86.3 = 1.3 k  4.3 GB
 *   4096, 16384, 80     346.9 = 4.3 k 23.3 GB  117.6 = 1.5 k  7.9 GB
 *   4096, 131072, 64    402.8 = 6.3 k 27.0 GB  103.5 = 1.6 k  6.9 GB
 *
 * k of them are needed for the values: 5.4 GB at 4096, 16384, 80, so no bound gains more than a third from here. Another
 * screen before the gather would have to read half of it or more. Nor does it help to tile candidates: a tile of 128 rows
 * by 256 latents there has 235 of them, 3.9 MB, for 6.3 MB of x and W_enc.
 * From where: blocks that run together go through the latents in the same order, so W_enc comes from HBM about once for
 * the rows in flight (396, 3 blocks of 78 registers a thread on 132 multiprocessors), and from L2 otherwise, as long as
 * the fastest and the slowest of them are no further apart than L2 holds: a fifth of W_enc at 4096, 16384, in 50 MB. That
 * is 2.8 GB of HBM in place of 6.4, behind 7.9 GB of L2: 1.4 ms, not 2.1. At 131,072 latents L2 holds a fortieth, and
 * most comes from HBM: 2.3 ms.
 * Launch: a block of 256 threads per row, 12 bytes of dynamic shared memory per list entry (24 to 48 KiB).
 * Deterministic: sets and keys, never the order of a list. No alternatives tried yet. Not measured yet.
 */
#include "select.h"

#include <algorithm>

#include "../device/reduce.cuh"
#include "../device/tensor_core.cuh"
#include "epilogue.cuh"
#include "row_list.cuh"
#include "shadow.h"
#include "topk.cuh"
#include "warp_dot.cuh"

namespace sae::cuda {
namespace {

constexpr int64_t kEach = 4;                   // scores a thread reads at once
constexpr int64_t kSegment = kEach * kThreads; // columns are read in multiples of this
constexpr int64_t kListed = 8 + 4;             // bytes of an entry in shared memory

/* The column that is number `slot` among those not in taken [0, count), in ascending order. */
__device__ inline int64_t free_column(const uint32_t *taken, int64_t count, int64_t slot) {
    int64_t column = slot;
    for (;;) {
        int64_t below = 0;
        for (int64_t i = 0; i < count; i++) {
            below += taken[i] <= column;
        }
        if (slot + below == column) {
            return column;
        }
        column = slot + below;
    }
}

/* Sorts keys [0, count) and writes the row; taken: scratch of k. Keys of 0 stand for values that are not positive. */
__device__ inline void write_row(uint64_t *keys, int64_t count, uint32_t *taken, const Choice &choice, int64_t row) {
    __shared__ int positive;
    const int64_t active =
        choice.n_active != nullptr && *choice.n_active < choice.columns ? *choice.n_active : choice.columns;
    int64_t padded = 1;
    while (padded < count) {
        padded *= 2;
    }
    if (threadIdx.x == 0) {
        positive = 0;
    }
    for (int64_t i = count + threadIdx.x; i < padded; i += kThreads) {
        keys[i] = 0;
    }
    __syncthreads();
    sort_descending(keys, padded);
    for (int64_t i = threadIdx.x; i < choice.k && i < padded; i += kThreads) {
        const uint64_t key = keys[i];
        const uint32_t column = 0xFFFFFFFFu - static_cast<uint32_t>(key);
        if (key != 0) {
            atomicAdd(&positive, 1);
            taken[i] = column;
            choice.indices[row * choice.k + i] =
                choice.names == nullptr ? static_cast<int>(column) : choice.names[column];
            choice.values[row * choice.k + i] = __uint_as_float(static_cast<uint32_t>(key >> 32));
        }
    }
    __syncthreads();
    for (int64_t i = positive + static_cast<int64_t>(threadIdx.x); i < choice.k; i += kThreads) {
        const int64_t column = i < active ? free_column(taken, positive, i - positive) : -1;
        choice.indices[row * choice.k + i] =
            column < 0 || choice.names == nullptr ? static_cast<int>(column) : choice.names[column];
        choice.values[row * choice.k + i] = 0.0f;
    }
}

template <bool kBounded>
__device__ bool read_dense(RowList<kBounded> &list, const Choice &choice, int64_t row, const RowBound &bound,
                           int64_t capacity, float &threshold) {
    const int64_t active =
        choice.n_active != nullptr && *choice.n_active < choice.width ? *choice.n_active : choice.width;
    const float *scores = choice.scores + row * choice.stride;
    const bool aligned = choice.stride % kEach == 0;
    int64_t first = 0;
    while (first < active) {
        const int64_t free = (capacity - list.size()) / kSegment * kSegment;
        if (free == 0) {
            return false;
        }
        const int64_t last = first + free < active ? first + free : active;
        __syncthreads(); // everyone has read the size
        for (int64_t at = first + threadIdx.x * kEach; at - threadIdx.x * kEach < last; at += kSegment) {
            float score[kEach];
            if (aligned && at + kEach <= active) {
                const float4 four = *reinterpret_cast<const float4 *>(scores + at);
                score[0] = four.x;
                score[1] = four.y;
                score[2] = four.z;
                score[3] = four.w;
            } else {
                for (int i = 0; i < kEach; i++) {
                    score[i] = at + i < active ? scores[at + i] : 0.0f;
                }
            }
            float least = least_score(threshold, 0.0f);
            if (kBounded) {
                least = at < active ? least_score(threshold, margin(bound, choice.groups[at / kLatentGroup])) : 0.0f;
            }
            for (int i = 0; i < kEach; i++) {
                bool wanted = at + i < last && ListCandidates<kBounded>::may_matter(score[i], least);
                float allowance = 0.0f;
                if (kBounded && wanted) {
                    allowance = RowList<kBounded>::allowance_of(choice, bound, at + i);
                    wanted = ListCandidates<kBounded>::may_matter(score[i], least_score(threshold, allowance));
                }
                list.append(wanted, score[i], at + i, allowance);
            }
        }
        first = last;
        __syncthreads();
        if (first < active && list.size() > capacity / 2) {
            threshold = list.shrink(choice.k, threshold, choice, bound);
        }
    }
    return true;
}

template <bool kBounded>
__device__ void read_list(RowList<kBounded> &list, int *size, const Choice &choice, int64_t row, const RowBound &bound,
                          int64_t listed) {
    for (int64_t i = threadIdx.x; i < listed; i += kThreads) {
        const uint64_t entry = choice.list[row * choice.capacity + i];
        const int64_t column = static_cast<uint32_t>(entry);
        list.put(i, __uint_as_float(static_cast<uint32_t>(entry >> 32)), column,
                 RowList<kBounded>::allowance_of(choice, bound, column));
    }
    if (threadIdx.x == 0) {
        *size = static_cast<int>(listed);
    }
    __syncthreads();
}

/* Whether the bound holds: no intermediate result of a score can have overflowed float32. */
__device__ inline bool is_certain(const Choice &choice, const RowBound &row) {
    constexpr float kLargest = 1e37f;
    const LatentBound &all = choice.groups[(choice.columns + kLatentGroup - 1) / kLatentGroup];
    return row.norm + row.slack < kLargest && row.norm * (all.length + all.error) + all.fixed < kLargest;
}

/* A row whose list overflows, or whose bounds do not hold. */
__device__ inline void give_up(const Choice &choice, int64_t row) {
    if (threadIdx.x != 0) {
        return;
    }
    if (choice.last) {
        choice.overflowed[atomicAdd(&choice.counts->overflowed, 1)] = static_cast<int>(choice.first_row + row);
    } else {
        choice.count[row] = kOverflowed;
        choice.threshold[row] = __uint_as_float(0x7F800000u); // nothing more is listed
    }
}

/* Values of candidates [first, first + kTogether) below size, whose columns are entries [0, size), by a warp: all of them
 * are in flight, and x is read once. Replaces them by their keys. */
constexpr int64_t kTogether = 4;
template <int Width>
__device__ inline void settle_some(uint64_t *entries, int64_t size, int64_t first, const Choice &choice,
                                   const float *input) {
    const float *const x[1] = {input};
    const float *w[kTogether];
    for (int64_t i = 0; i < kTogether; i++) {
        const int64_t at = first + i < size ? first + i : size - 1; // those beyond repeat the last
        w[i] = choice.w_enc + static_cast<int64_t>(entries[at]) * choice.d_in;
    }
    float sums[1][kTogether];
    warp_dots<Width>(x, w, choice.d_in, sums);
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float mine = 0.0f; // lane i keeps that sum
#pragma unroll
    for (int i = 0; i < kTogether; i++) {
        mine = lane == i ? sums[0][i] : mine;
    }
    const int64_t at = first + lane;
    __syncwarp(); // every lane has read the entries
    if (lane < kTogether && at < size) {
        const auto column = static_cast<int64_t>(entries[at]);
        const float value = mine + choice.b_enc[column];
        entries[at] = value > 0.0f ? make_key(value, column) : 0;
    }
}

/* Entries [0, size) become their columns, in descending order. */
__device__ inline void sort_by_column(uint64_t *entries, int64_t size) {
    int64_t padded = 1;
    while (padded < size) {
        padded *= 2;
    }
    for (int64_t i = threadIdx.x; i < padded; i += kThreads) {
        entries[i] = i < size ? entries[i] & 0xFFFFFFFFu : 0;
    }
    __syncthreads();
    sort_descending(entries, padded);
}

/* Computes the values of the final candidates and replaces the candidates by their keys. */
template <bool kBounded>
__device__ void settle(RowList<kBounded> &list, const Choice &choice, int64_t row) {
    const int64_t size = list.size();
    if constexpr (kBounded) {
        sort_by_column(list.entries, size);
        const float *x = choice.input + row * choice.d_in;
        for (int64_t first = static_cast<int64_t>(threadIdx.x) / kWarp * kTogether; first < size;
             first += kWarps * kTogether) {
            if (choice.d_in % 4 == 0) {
                settle_some<4>(list.entries, size, first, choice, x);
            } else {
                settle_some<1>(list.entries, size, first, choice, x);
            }
        }
    } else {
        for (int64_t i = threadIdx.x; i < size; i += kThreads) {
            const uint64_t entry = list.entries[i];
            list.entries[i] = make_key(__uint_as_float(static_cast<uint32_t>(entry >> 32)),
                                       static_cast<int64_t>(static_cast<uint32_t>(entry)));
        }
    }
    __syncthreads();
}

template <bool kBounded>
__global__ void __launch_bounds__(kThreads) choose_kernel(Choice choice, int64_t capacity) {
    SAE_DYNAMIC_SHARED(shared);
    __shared__ int size;
    const int64_t row = blockIdx.x;
    RowList<kBounded> list(shared, capacity, &size);
    const RowBound bound = kBounded ? choice.rows[row] : RowBound{};
    float threshold = 0.0f;
    bool fits = !kBounded || is_certain(choice, bound);
    if (threadIdx.x == 0) {
        size = 0;
    }
    __syncthreads();
    if (choice.scores == nullptr) {
        const int listed = choice.count[row];
        if (threadIdx.x == 0 && listed < kOverflowed) {
            atomicAdd(&choice.counts->listed, static_cast<unsigned long long>(listed));
        }
        threshold = choice.threshold[row];
        fits = fits && listed <= choice.capacity;
        read_list(list, &size, choice, row, bound, fits ? listed : 0);
    } else if (fits) {
        fits = read_dense(list, choice, row, bound, capacity, threshold);
    }
    if (fits && (choice.last || list.size() > choice.k)) {
        threshold = list.shrink(choice.k, threshold, choice, bound);
        fits = choice.last || list.size() <= choice.capacity;
    }
    __syncthreads();
    if (!fits) {
        give_up(choice, row);
        return;
    }
    if (choice.last) {
        settle(list, choice, row);
        write_row(list.entries, list.size(), list.scratch(), choice, row);
        return;
    }
    for (int64_t i = threadIdx.x; i < list.size(); i += kThreads) {
        choice.list[row * choice.capacity + i] = list.entries[i];
    }
    if (threadIdx.x == 0) {
        choice.count[row] = size;
        choice.threshold[row] = threshold;
    }
}

/* Dense float32 scores only: a row whose list overflows is chosen by radix select. */
__global__ void __launch_bounds__(kThreads) choose_dense_kernel(Choice choice, int64_t capacity) {
    SAE_DYNAMIC_SHARED(shared);
    __shared__ int size;
    const int64_t row = blockIdx.x;
    RowList<false> list(shared, capacity, &size);
    const RowBound none{};
    float threshold = 0.0f;
    if (threadIdx.x == 0) {
        size = 0;
    }
    __syncthreads();
    if (!read_dense(list, choice, row, none, capacity, threshold)) {
        topk_row(choice.scores + row * choice.stride, choice.columns, choice.n_active, choice.names, choice.k, nullptr,
                 choice.indices + row * choice.k, choice.values + row * choice.k);
        return;
    }
    list.shrink(choice.k, threshold, choice, none);
    settle(list, choice, row);
    write_row(list.entries, list.size(), list.scratch(), choice, row);
}

constexpr int64_t kLeastCapacity = 2 * kSegment; // so that a half-full list leaves room for a segment

template <typename Kernel>
cudaError_t run(Kernel *kernel, const Choice &choice, int64_t rows, cudaStream_t stream) {
    const int64_t capacity = std::max(choice.capacity, kLeastCapacity);
    const int bytes = static_cast<int>(capacity * kListed);
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    return error != cudaSuccess ? error : launch({rows, kThreads, bytes, 1}, kernel, stream, choice, capacity);
}

} // namespace

cudaError_t launch_choose(const Choice &choice, int64_t rows, cudaStream_t stream) {
    if (choice.list == nullptr && choice.rows == nullptr && choice.overflowed == nullptr) {
        return run(choose_dense_kernel, choice, rows, stream);
    }
    return choice.rows == nullptr ? run(choose_kernel<false>, choice, rows, stream)
                                  : run(choose_kernel<true>, choice, rows, stream);
}

} // namespace sae::cuda
