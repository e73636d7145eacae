/*
 * csc.cu: the kept values of a batch, listed by latent (compressed sparse columns).
 *
 *   order[offsets[j] .. offsets[j + 1])  = the entries e = row * k + slot of latent j whose value is not 0, ascending
 *
 * Of ragged rows every entry is listed, with value 0 too.
 *
 * in:  indices int32 [rows, k], values float32 [rows, k]; ragged: indices and the entries' rows [entries]
 * out: order, sorted uint32 [rows k], both up to position offsets[d_sae]; sorted: the latent at each position;
 *      offsets int64 [d_sae + 1]
 * scratch: ranks, unordered uint32 [rows k]; counts uint32 [d_sae + 1]
 *
 * A counting sort in three launches:
 *   count    an atomic per entry counts its latent and gives the entry a rank there; the last block sums the counts to
 *            offsets and clears them for the next launch
 *   scatter  unordered[offset + rank] = entry
 *   order    each list in ascending order. A list of up to kShortList entries: a warp compares all pairs. A longer one:
 *            a block marks the list's rows in a bit mask, 32 rows to a thread; since a row names a latent at most once,
 *            an entry's place is the number of marks before its own.
 * Six launches before (keys, four of CUB's radix sort with two digits, offsets by binary search). Work is linear in the
 * entries for any number of rows, so there is one way for all sizes; pairs within a short list aside: at most
 * kShortList comparisons an entry, shared by 32 lanes.
 * Bytes an entry: count 12 read and written and an atomic in L2, scatter 20, order 12; 20 per latent. By radix sort: 16
 * for the keys, 4 + 16 per digit, and 17 probes per latent. The last block of `count` alone reads 4 and writes 12 per
 * latent: 1.6 MB of L2 in 64 turns at d_sae = 131072.
 * Launch: a thread per entry, twice; a warp per latent. 2.1 KiB shared memory. Most atomics to one address: rows.
 * Deterministic: ranks depend on the schedule, the order of a list does not: it is that of rows, so sums along a list
 * have the same order in every run. Not yet run on a GPU.
 */
#include "csc.h"

#include "../device/last_block.cuh"
#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

constexpr int64_t kShortList = 128;
constexpr int kScanned = 8;                // counts a thread adds up at a time
constexpr int64_t kMarked = kThreads * 32; // rows marked at a time

/* k entries a row, of which those with a value that is not 0 are listed. */
struct RowsOfK {
    static constexpr bool kSorted = true;
    const float *values;
    uint32_t k;

    __device__ inline bool listed(int64_t entry) const { return values[entry] != 0.0f; }
    __device__ inline uint32_t row(uint32_t entry) const { return entry / k; }
};

/* Ragged rows, all of whose entries are listed. */
struct RaggedEntries {
    static constexpr bool kSorted = false;
    const uint32_t *rows;

    __device__ inline bool listed(int64_t) const { return true; }
    __device__ inline uint32_t row(uint32_t entry) const { return rows[entry]; }
};

/* offsets from counts, which become 0 */
__device__ inline void sum_counts(uint32_t *counts, int64_t d_sae, int64_t *offsets) {
    uint32_t before = 0; // fewer than 2^31 entries
    for (int64_t first = 0; first < d_sae; first += kThreads * kScanned) {
        const int64_t start = first + static_cast<int64_t>(threadIdx.x) * kScanned;
        uint32_t mine[kScanned];
        uint32_t sum = 0;
#pragma unroll
        for (int i = 0; i < kScanned; i++) {
            mine[i] = start + i < d_sae ? counts[start + i] : 0;
            sum += mine[i];
        }
        uint32_t total = 0;
        uint32_t at = before + block_scan(sum, total);
#pragma unroll
        for (int i = 0; i < kScanned; i++) {
            if (start + i < d_sae) {
                offsets[start + i] = at;
                counts[start + i] = 0;
            }
            at += mine[i];
        }
        before += total;
    }
    if (threadIdx.x == 0) {
        offsets[d_sae] = before;
    }
}

template <typename Entries>
__global__ void __launch_bounds__(kThreads) count_kernel(const int *__restrict__ indices, Entries of, int64_t entries,
                                                         int64_t d_sae, CscScratch scratch, int64_t *offsets) {
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (entry < entries && of.listed(entry)) {
        scratch.ranks[entry] = atomicAdd(scratch.counts + indices[entry], 1u);
    }
    if (is_last_block(scratch.counts + d_sae, gridDim.x)) {
        sum_counts(scratch.counts, d_sae, offsets);
    }
}

template <typename Entries>
__global__ void __launch_bounds__(kThreads) scatter_kernel(const int *__restrict__ indices, Entries of, int64_t entries,
                                                           CscScratch scratch, const int64_t *__restrict__ offsets) {
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (entry < entries && of.listed(entry)) {
        scratch.unordered[offsets[indices[entry]] + scratch.ranks[entry]] = static_cast<uint32_t>(entry);
    }
}

template <typename Entries>
struct Ordered {
    uint32_t *order;
    uint32_t *sorted; // null: not wanted

    __device__ inline void put(int64_t at, uint32_t entry, int64_t latent) const {
        order[at] = entry;
        if constexpr (Entries::kSorted) {
            sorted[at] = static_cast<uint32_t>(latent);
        }
    }
};

/* For a warp. */
template <typename Entries>
__device__ inline void order_short(const uint32_t *list, int64_t begin, int64_t end, int64_t latent,
                                   const Ordered<Entries> &out) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int64_t at = begin; at < end; at += kWarp) {
        const bool inside = at + lane < end;
        const uint32_t mine = inside ? list[at + lane] : 0;
        int before = 0;
        for (int64_t other = begin; other < end; other += kWarp) {
            const uint32_t theirs = other + lane < end ? list[other + lane] : 0;
            for (int of = 0; of < kWarp && other + of < end; of++) {
                before += __shfl_sync(0xFFFFFFFFu, theirs, of) < mine ? 1 : 0;
            }
        }
        if (inside) {
            out.put(begin + before, mine, latent);
        }
    }
}

/* For a block. */
template <typename Entries>
__device__ inline void order_long(const uint32_t *list, int64_t begin, int64_t end, int64_t latent, uint32_t rows,
                                  const Entries &of, const Ordered<Entries> &out) {
    __shared__ uint32_t marks[kThreads];
    __shared__ uint32_t before[kThreads]; // marks of lower threads
    const int thread = static_cast<int>(threadIdx.x);
    int64_t done = begin;
    for (uint32_t first = 0; first < rows; first += kMarked) {
        marks[thread] = 0;
        __syncthreads();
        for (int64_t at = begin + thread; at < end; at += kThreads) {
            const uint32_t row = of.row(list[at]) - first; // of an earlier row: large
            if (row < kMarked) {
                atomicOr(marks + row / 32, 1u << row % 32);
            }
        }
        __syncthreads();
        uint32_t total = 0;
        before[thread] = block_scan(static_cast<uint32_t>(__popc(marks[thread])), total);
        __syncthreads();
        for (int64_t at = begin + thread; at < end; at += kThreads) {
            const uint32_t row = of.row(list[at]) - first;
            if (row < kMarked) {
                const uint32_t lower = marks[row / 32] & ((1u << row % 32) - 1);
                out.put(done + before[row / 32] + __popc(lower), list[at], latent);
            }
        }
        done += total;
        __syncthreads(); // the next rows, or list, overwrite the marks
    }
}

template <typename Entries>
__global__ void __launch_bounds__(kThreads)
    order_kernel(const uint32_t *__restrict__ unordered, const int64_t *__restrict__ offsets, int64_t d_sae,
                 uint32_t rows, Entries of, Ordered<Entries> out) {
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kWarps;
    const int64_t mine = first + static_cast<int>(threadIdx.x) / kWarp;
    if (mine < d_sae && offsets[mine + 1] - offsets[mine] <= kShortList) {
        order_short(unordered, offsets[mine], offsets[mine + 1], mine, out);
    }
    for (int64_t latent = first; latent < first + kWarps && latent < d_sae; latent++) {
        if (offsets[latent + 1] - offsets[latent] > kShortList) { // the same for the whole block
            order_long(unordered, offsets[latent], offsets[latent + 1], latent, rows, of, out);
        }
    }
}

template <typename Entries>
cudaError_t launch_lists_of(const int *indices, const Entries &of, int64_t entries, int64_t rows, int64_t d_sae,
                            const CscScratch &scratch, const Ordered<Entries> &out, int64_t *offsets,
                            cudaStream_t stream) {
    const int64_t blocks = entries == 0 ? 1 : divide_up(entries, kThreads); // without entries there are still offsets
    cudaError_t error = launch(count_kernel<Entries>, blocks, stream, indices, of, entries, d_sae, scratch, offsets);
    if (error == cudaSuccess) {
        error = launch(scatter_kernel<Entries>, blocks, stream, indices, of, entries, scratch, offsets);
    }
    return error != cudaSuccess ? error
                                : launch(order_kernel<Entries>, divide_up(d_sae, kWarps), stream, scratch.unordered,
                                         offsets, d_sae, static_cast<uint32_t>(rows), of, out);
}

} // namespace

int64_t csc_counters(int64_t d_sae) { return d_sae + 1; }

cudaError_t launch_csc(const int *indices, const float *values, int64_t rows, int64_t k, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, uint32_t *sorted, int64_t *offsets,
                       cudaStream_t stream) {
    return launch_lists_of(indices, RowsOfK{values, static_cast<uint32_t>(k)}, rows * k, rows, d_sae, scratch,
                           {order, sorted}, offsets, stream);
}

cudaError_t launch_ragged_csc(const int *indices, const uint32_t *rows_of, int64_t entries, int64_t rows, int64_t d_sae,
                              const CscScratch &scratch, uint32_t *order, int64_t *offsets, cudaStream_t stream) {
    return launch_lists_of(indices, RaggedEntries{rows_of}, entries, rows, d_sae, scratch, {order, nullptr}, offsets,
                           stream);
}

} // namespace sae::cuda
