/*
 * select.cu: the k largest of ReLU(row) for each row, in one pass over the row: exact, sorted, ties by index.
 * Over 400 lines: one algorithm whose steps share their state in shared memory.
 *
 * in:  dense scores float32 [rows, width], or lists of candidates (select.h, Choice), or first one and then the other
 * out: indices int32 [rows, k] and values float32 [rows, k], as topk.cuh orders and fills them; or, between two rounds
 *      of pre-activations, each row's threshold and the list of candidates for its k largest
 *
 * A score z' is within M of its value (bf16.cuh; M = 0: it is the value). Everything with z' + M < t is dropped, t
 * being the k-th largest lower bound z' - M so far (never below 0; values that cannot be positive are dropped too). A
 * row in 4 steps:
 *
 *   1. a segment of columns that fits the free part of the list in shared memory is read, 16 bytes per thread and load;
 *      candidates by their group's M, then by their own, are appended: ballots, one shared atomic per warp
 *   2. when the list is more than half full: t by radix select over 32-bit lower bounds, the list shrunk in place
 *   3. the final candidates get their float32 value (one warp each, summed in the same fixed order as in
 *      recompute_kernel, so that the result does not depend on a row's path)
 *   4. keys (value, then lower column) are sorted, k of them written; below k positive values: 0 at the lowest free columns
 *
 * If a list overflows (values that are equal, or close relative to M): with dense float32 scores the row is chosen by
 * radix select (topk.cuh), otherwise it goes into `overflowed` and recompute_kernel recomputes all of its latents.
 * Bytes: 4 rows width read, 8 rows k written; step 3 gathers 4 d_in bytes for each of about 1.5 k candidates per row.
 * Launch: a block of 256 threads per row, 12 bytes of dynamic shared memory per list entry (24 to 48 KiB).
 * ptxas 13.0: 4 bytes of spills in choose_kernel<true> (sm_90a), 8 in recompute_kernel (sm_80).
 * recompute_kernel: one block per row of `overflowed`, strided; 4 m d_in bytes per row.
 * Deterministic: sets and keys, never the order of a list. No alternatives tried yet. Not measured yet.
 */
#include "select.h"

#include <algorithm>

#include "../device/bf16_bits.h"
#include "../device/tensor_core.cuh"
#include "bf16.cuh"
#include "epilogue.cuh"
#include "shadow.h"
#include "topk.cuh"

namespace sae::cuda {
namespace {

constexpr int64_t kEach = 4;                   // scores a thread reads at once
constexpr int64_t kSegment = kEach * kThreads; // columns are read in multiples of this
constexpr int kLanes = 32;
constexpr int kWarpsPerBlock = kThreads / kLanes;
constexpr int64_t kListed = 8 + 4; // bytes of an entry in shared memory

/* The dot product that defines float32 values here: per lane, then over the warp; every lane gets the sum. */
__device__ inline float warp_dot(const float *x, const float *w, int64_t d_in) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    float sum = 0.0f;
    if (d_in % 4 == 0) {
        const auto *x4 = reinterpret_cast<const float4 *>(x);
        const auto *w4 = reinterpret_cast<const float4 *>(w);
        float4 part{0.0f, 0.0f, 0.0f, 0.0f};
        for (int64_t i = lane; i < d_in / 4; i += kLanes) {
            const float4 a = x4[i];
            const float4 b = w4[i];
            part.x = fmaf(a.x, b.x, part.x);
            part.y = fmaf(a.y, b.y, part.y);
            part.z = fmaf(a.z, b.z, part.z);
            part.w = fmaf(a.w, b.w, part.w);
        }
        sum = (part.x + part.y) + (part.z + part.w);
    } else {
        for (int64_t i = lane; i < d_in; i += kLanes) {
            sum = fmaf(x[i], w[i], sum);
        }
    }
    for (int bit = kLanes / 2; bit > 0; bit /= 2) {
        sum += __shfl_xor_sync(kFullWarp, sum, bit);
    }
    return sum;
}

__device__ inline float warp_dot_bf16(const uint16_t *x, const uint16_t *w, int64_t depth) {
    float sum = 0.0f;
    for (int64_t i = static_cast<int64_t>(threadIdx.x) % kLanes; i < depth; i += kLanes) {
        sum = fmaf(from_bf16(x[i]), from_bf16(w[i]), sum);
    }
    for (int bit = kLanes / 2; bit > 0; bit /= 2) {
        sum += __shfl_xor_sync(kFullWarp, sum, bit);
    }
    return sum;
}

/* The candidates of a row, in shared memory. Member functions are called by the whole block. */
template <bool kBounded>
class RowList {
  public:
    __device__ RowList(unsigned char *shared, int64_t capacity, int *count)
        : entries(reinterpret_cast<uint64_t *>(shared)), lower_(reinterpret_cast<uint32_t *>(entries + capacity)),
          count_(count) {}

    __device__ int64_t size() const { return *count_; }

    /* Appends (score, column) of every lane with a candidate; called by the whole warp. */
    __device__ void append(bool wanted, float score, int64_t column, float allowance) {
        const unsigned votes = __ballot_sync(kFullWarp, wanted);
        if (votes == 0) {
            return;
        }
        const int lane = static_cast<int>(threadIdx.x) % kLanes;
        int base = 0;
        if (lane == 0) {
            base = atomicAdd(count_, __popc(votes));
        }
        base = __shfl_sync(kFullWarp, base, 0);
        if (wanted) {
            put(base + __popc(votes & ((1u << lane) - 1u)), score, column, allowance);
        }
    }

    __device__ void put(int64_t slot, float score, int64_t column, float allowance) {
        entries[slot] = list_entry(score, column);
        const float lower = score - allowance;
        lower_[slot] = lower > 0.0f ? __float_as_uint(lower) : 0u;
    }

    /* Raises the threshold to the k-th largest lower bound, and drops candidates below it. */
    __device__ float shrink(int64_t k, float threshold, const Choice &choice, const RowBound &row) {
        const int64_t size = *count_;
        if (size > k) {
            const float found = __uint_as_float(kth_largest(size, k));
            threshold = found > threshold ? found : threshold;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            *count_ = 0;
        }
        for (int64_t first = 0; first < size; first += kThreads) { // writes stay behind the next reads
            const int64_t at = first + threadIdx.x;
            uint64_t entry = 0;
            uint32_t lower = 0;
            bool kept = false;
            if (at < size) {
                entry = entries[at];
                lower = lower_[at];
                const float score = __uint_as_float(static_cast<uint32_t>(entry >> 32));
                const int64_t column = static_cast<uint32_t>(entry);
                kept = ListCandidates<kBounded>::may_matter(score,
                                                            least_score(threshold, allowance_of(choice, row, column)));
            }
            __syncthreads();
            const unsigned votes = __ballot_sync(kFullWarp, kept);
            const int lane = static_cast<int>(threadIdx.x) % kLanes;
            int base = 0;
            if (lane == 0 && votes != 0) {
                base = atomicAdd(count_, __popc(votes));
            }
            base = __shfl_sync(kFullWarp, base, 0);
            if (kept) {
                const int64_t slot = base + __popc(votes & ((1u << lane) - 1u));
                entries[slot] = entry;
                lower_[slot] = lower;
            }
            __syncthreads();
        }
        return threshold;
    }

    __device__ static float allowance_of(const Choice &choice, const RowBound &row, int64_t column) {
        return kBounded ? margin(row, choice.latents[column]) : 0.0f;
    }

    uint64_t *entries;

    __device__ uint32_t *scratch() { return lower_; }

  private:
    /* k-th largest of lower_[0, size), size > k: 8 bits per pass from the top. */
    __device__ uint32_t kth_largest(int64_t size, int64_t k) {
        __shared__ unsigned histogram[kDigits];
        __shared__ unsigned chosen;
        __shared__ int64_t above;
        uint32_t prefix = 0;
        uint32_t mask = 0;
        for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
            histogram[threadIdx.x] = 0;
            __syncthreads();
            for (int64_t i = threadIdx.x; i < size; i += kThreads) {
                if ((lower_[i] & mask) == prefix) {
                    atomicAdd(&histogram[lower_[i] >> shift & (kDigits - 1)], 1u);
                }
            }
            __syncthreads();
            if (threadIdx.x < kLanes) {
                find_digit(histogram, k, &chosen, &above);
            }
            __syncthreads();
            k -= above;
            prefix |= chosen << shift;
            mask |= static_cast<uint32_t>(kDigits - 1) << shift;
            __syncthreads(); // before the next pass writes them
        }
        return prefix;
    }

    /* One warp: the largest digit with at least k keys in it and above; `above`: keys of larger digits. */
    __device__ static void find_digit(const unsigned *histogram, int64_t k, unsigned *chosen, int64_t *above) {
        constexpr int kPerLane = kDigits / kLanes;
        const int lane = static_cast<int>(threadIdx.x) % kLanes;
        const int top = kDigits - 1 - lane * kPerLane; // lane 0 has the largest digits
        int64_t own = 0;
        for (int i = 0; i < kPerLane; i++) {
            own += histogram[top - i];
        }
        int64_t through = own;
        for (int by = 1; by < kLanes; by *= 2) {
            const int64_t other = __shfl_up_sync(kFullWarp, through, static_cast<unsigned>(by));
            through += lane >= by ? other : 0;
        }
        int64_t before = through - own;
        if (before < k && through >= k) {
            int digit = top;
            while (before + histogram[digit] < k) {
                before += histogram[digit];
                digit--;
            }
            *chosen = static_cast<unsigned>(digit);
            *above = before;
        }
    }

    uint32_t *lower_;
    int *count_;
};

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
        choice.overflowed[atomicAdd(choice.n_overflowed, 1)] = static_cast<int>(choice.first_row + row);
    } else {
        choice.count[row] = kOverflowed;
        choice.threshold[row] = __uint_as_float(0x7F800000u); // nothing more is listed
    }
}

/* Computes the values of the final candidates and replaces the candidates by their keys. */
template <bool kBounded>
__device__ void settle(RowList<kBounded> &list, const Choice &choice, int64_t row) {
    const int64_t size = list.size();
    if constexpr (kBounded) {
        for (int64_t i = static_cast<int64_t>(threadIdx.x) / kLanes; i < size; i += kWarpsPerBlock) {
            const int64_t column = static_cast<uint32_t>(list.entries[i]);
            const float *w = choice.w_enc + column * choice.d_in;
            const float value = warp_dot(choice.input + row * choice.d_in, w, choice.d_in) + choice.b_enc[column];
            __syncwarp(); // every lane has read the entry
            if (threadIdx.x % kLanes == 0) {
                list.entries[i] = value > 0.0f ? make_key(value, column) : 0;
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
    const RowBound bound = kBounded ? choice.rows[row] : RowBound{0.0f, 0.0f, 0.0f};
    float threshold = 0.0f;
    bool fits = !kBounded || is_certain(choice, bound);
    if (threadIdx.x == 0) {
        size = 0;
    }
    __syncthreads();
    if (choice.scores == nullptr) {
        const int listed = choice.count[row];
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
    const RowBound none{0.0f, 0.0f, 0.0f};
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

__global__ void __launch_bounds__(kThreads) recompute_kernel(Recompute job) {
    const int count = *job.n_overflowed;
    float *scores = job.scores + blockIdx.x * job.columns;
    for (int64_t which = blockIdx.x; which < count; which += gridDim.x) {
        const int64_t row = job.overflowed[which];
        for (int64_t latent = static_cast<int64_t>(threadIdx.x) / kLanes; latent < job.columns;
             latent += kWarpsPerBlock) {
            const float dot = job.rounded == nullptr
                                  ? warp_dot(job.input + row * job.d_in, job.w_enc + latent * job.d_in, job.d_in)
                                  : warp_dot_bf16(job.rounded + row * job.depth, job.w + latent * job.depth, job.depth);
            if (threadIdx.x % kLanes == 0) {
                scores[latent] = dot + job.b_enc[latent];
            }
        }
        __syncthreads();
        topk_row(scores, job.columns, nullptr, nullptr, job.k, nullptr, job.indices + row * job.k,
                 job.values + row * job.k);
        __syncthreads();
    }
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

cudaError_t launch_recompute(const Recompute &recompute, int64_t slots, cudaStream_t stream) {
    return launch(recompute_kernel, slots, stream, recompute);
}

} // namespace sae::cuda
