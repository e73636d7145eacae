/*
 * topk.cuh: the k largest of ReLU(row) for each row of a dense matrix, exact and sorted, for any k and any values.
 * select.cu does the same in one pass where it can.
 *
 * in:  scores float32 [rows, columns]; with n_active (int32 [1] on the device) only the first *n_active columns of a
 *      row count; names int32 [columns] or null: the output index of column c
 * out: indices int32 [rows, k], values float32 [rows, k]; slots beyond the number of columns get index -1, value 0
 * scratch: keys uint64 [rows, padded], padded = the power of two >= k (null when padded <= 1024)
 *
 * Order and ties: value descending, then lower column. An element is the 64-bit key (bits of its value) << 32 |
 * ~column: values are >= +0 (NaN and -0 count as +0), so their bits order as integers, and no two keys are equal.
 * Hence padding with 0 at the lowest indices not taken needs no special case, and the result does not depend on the
 * schedule although shared integer atomics count and place keys.
 *
 * How: radix select of the k-th key, 8 bits per pass from the top; the search ends as soon as the chosen digit's keys
 * are all taken (usually before the column bits). Then the chosen keys are gathered and sorted (bitonic).
 * Bytes: the row is read 2 to 9 times, mostly from L2; 8 rows k written.
 * Launch: one block of 256 threads per row; 9.1 KiB static shared memory. Not yet run on a GPU.
 */
#ifndef SAE_CUDA_TOPK_CUH
#define SAE_CUDA_TOPK_CUH

#include "topk.h"

namespace sae::cuda {
namespace {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;

/* The power of two >= k: what is sorted. */
__host__ __device__ inline int64_t padded_size(int64_t k) {
    int64_t size = 1;
    while (size < k) {
        size *= 2;
    }
    return size;
}

__device__ inline uint64_t make_key(float score, int64_t column) {
    const float positive = score > 0.0f ? score : 0.0f;
    return static_cast<uint64_t>(__float_as_uint(positive)) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(column));
}

/* The keys of a row's columns, and the values that belong to them. */
struct PositiveKeys {
    const float *scores;

    __device__ inline uint64_t operator()(int64_t column) const { return make_key(scores[column], column); }
    __device__ inline float value(uint64_t key) const { return __uint_as_float(static_cast<uint32_t>(key >> 32)); }
};

/* The column that a key belongs to. */
__device__ inline int column_of(uint64_t key) { return static_cast<int>(0xFFFFFFFFu - static_cast<uint32_t>(key)); }

/* Keys with (key & mask) >= prefix are the k largest. */
struct Cut {
    uint64_t mask;
    uint64_t prefix;
};

template <typename Keys>
__device__ inline Cut find_cut(const Keys &keys, int64_t columns, int64_t k) {
    __shared__ unsigned histogram[kDigits];
    __shared__ int digit;
    __shared__ int64_t above; // keys of a higher digit, all taken
    const int thread = static_cast<int>(threadIdx.x);
    Cut cut{0, 0};
    if (k == columns) {
        return cut;
    }
    int64_t wanted = k;
    for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
        for (int i = thread; i < kDigits; i += kThreads) {
            histogram[i] = 0;
        }
        __syncthreads();
        for (int64_t column = thread; column < columns; column += kThreads) {
            const uint64_t key = keys(column);
            if ((key & cut.mask) == cut.prefix) {
                atomicAdd(&histogram[key >> shift & (kDigits - 1)], 1u);
            }
        }
        __syncthreads();
        if (thread == 0) {
            int candidate = kDigits - 1;
            int64_t count = 0;
            while (count + histogram[candidate] < wanted) {
                count += histogram[candidate];
                candidate--;
            }
            digit = candidate;
            above = count;
        }
        __syncthreads();
        wanted -= above;
        cut.prefix |= static_cast<uint64_t>(digit) << shift;
        cut.mask |= static_cast<uint64_t>(kDigits - 1) << shift;
        const bool all_taken = histogram[digit] == wanted;
        __syncthreads(); // the next pass clears the histogram
        if (all_taken) {
            break;
        }
    }
    return cut;
}

/* Sorts keys[0, count) descending; count is a power of two. */
__device__ inline void sort_descending(uint64_t *keys, int64_t count) {
    for (int64_t size = 2; size <= count; size *= 2) {
        for (int64_t stride = size / 2; stride > 0; stride /= 2) {
            for (int64_t i = threadIdx.x; i < count; i += kThreads) {
                const int64_t other = i ^ stride;
                if (other > i) {
                    const uint64_t a = keys[i];
                    const uint64_t b = keys[other];
                    const bool descending = (i & size) == 0;
                    if (descending ? a < b : a > b) {
                        keys[i] = b;
                        keys[other] = a;
                    }
                }
            }
            __syncthreads();
        }
    }
}

/* The k largest of a row's first `active` keys, none of which is 0, by the whole block; scratch: padded keys, unused up to
 * kSharedKeys. */
template <typename Keys>
__device__ inline void topk_of_keys(const Keys &of, int64_t active, const int *__restrict__ names, int64_t k,
                                    uint64_t *scratch, int *__restrict__ indices, float *__restrict__ values) {
    __shared__ uint64_t shared_keys[kSharedKeys];
    __shared__ unsigned gathered;
    const int64_t taken = k < active ? k : active;
    const int64_t padded = padded_size(k);
    uint64_t *keys = padded <= kSharedKeys ? shared_keys : scratch;

    const Cut cut = find_cut(of, active, taken);
    if (threadIdx.x == 0) {
        gathered = 0;
    }
    for (int64_t i = taken + threadIdx.x; i < padded; i += kThreads) {
        keys[i] = 0; // below every key
    }
    __syncthreads();
    for (int64_t column = threadIdx.x; taken > 0 && column < active; column += kThreads) {
        const uint64_t key = of(column);
        if ((key & cut.mask) >= cut.prefix) {
            keys[atomicAdd(&gathered, 1u)] = key;
        }
    }
    __syncthreads();
    sort_descending(keys, padded);
    for (int64_t slot = threadIdx.x; slot < k; slot += kThreads) {
        const bool filled = slot < taken;
        const int column = column_of(keys[slot]);
        indices[slot] = !filled ? -1 : names == nullptr ? column : names[column];
        values[slot] = filled ? of.value(keys[slot]) : 0.0f;
    }
}

/* One row, by the whole block; scratch as above. */
__device__ inline void topk_row(const float *__restrict__ scores, int64_t columns, const int *__restrict__ n_active,
                                const int *__restrict__ names, int64_t k, uint64_t *scratch, int *__restrict__ indices,
                                float *__restrict__ values) {
    const int64_t active = n_active != nullptr && *n_active < columns ? *n_active : columns;
    topk_of_keys(PositiveKeys{scores}, active, names, k, scratch, indices, values);
}

} // namespace
} // namespace sae::cuda
#endif
