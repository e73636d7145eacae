/*
 * ragged_counts.cu: what is counted of a batch of ragged rows: values > 0 by row and in all, the least of them, which
 * latents fired, and how many dead ones each level of the auxiliary loss has.
 *
 * in and out: as ragged_counts.h says. Bytes: 4 an entry for each count; row numbers write 4 an entry; fired latents read
 * lists up to their first value > 0, 8 an entry.
 * Launch: a warp per row, one block for the totals; row numbers: a block per row; fired: a warp per latent; levels: a thread
 * each, which searches the list.
 * Deterministic: integers and least values do not depend on an order. Not yet run on a GPU.
 */
#include "ragged_counts.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    row_numbers_kernel(const int64_t *__restrict__ starts, uint32_t *__restrict__ row_of) {
    const int64_t row = blockIdx.x;
    const int64_t end = starts[row + 1];
    for (int64_t at = starts[row] + threadIdx.x; at < end; at += kThreads) {
        row_of[at] = static_cast<uint32_t>(row);
    }
}

__global__ void __launch_bounds__(kThreads)
    count_rows_kernel(RaggedBatch batch, double *__restrict__ active, double *__restrict__ least) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= batch.rows) {
        return; // the same for the whole warp
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    int count = 0;
    float lowest = INFINITY;
    for (int64_t at = batch.starts[row] + lane; at < batch.starts[row + 1]; at += kWarp) {
        const float value = batch.values[at];
        if (value > 0.0f) {
            count++;
            lowest = fminf(lowest, value);
        }
    }
    count = warp_sum(count);
    for (int half = kWarp / 2; half > 0; half /= 2) {
        lowest = fminf(lowest, __shfl_xor_sync(0xFFFFFFFFu, lowest, half));
    }
    if (lane == 0) {
        active[row] = count;
        least[row] = lowest;
    }
}

/* One block. */
__global__ void __launch_bounds__(kThreads)
    total_counts_kernel(const double *__restrict__ active, const double *__restrict__ least, int64_t rows,
                        StepSums *sums, RaggedSums *ragged) {
    __shared__ double lowest[kThreads];
    const double all = sum_of(active, rows); // integers below 2^53: exact in any order
    double own = INFINITY;
    for (int64_t row = threadIdx.x; row < rows; row += kThreads) {
        own = fmin(own, least[row]);
    }
    lowest[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int thread = 1; thread < kThreads; thread++) {
            own = fmin(own, lowest[thread]);
        }
        sums->active = all;
        ragged->least = own;
    }
}

__global__ void __launch_bounds__(kThreads) mark_fired_kernel(RaggedBatch batch, RaggedLists lists, int64_t d_sae,
                                                              bool first, unsigned char *__restrict__ record) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (latent >= d_sae) {
        return; // the same for the whole warp
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t end = lists.offsets[latent + 1];
    unsigned fired = 0;
    for (int64_t at = lists.offsets[latent]; at < end && fired == 0; at += kWarp) {
        const bool fires = at + lane < end && batch.values[lists.order[at + lane]] > 0.0f;
        fired = __ballot_sync(0xFFFFFFFFu, fires);
    }
    if (lane == 0) {
        record[latent] = fired != 0 || (!first && record[latent] != 0) ? 1 : 0;
    }
}

__global__ void __launch_bounds__(kThreads) level_starts_kernel(const int *__restrict__ list, const int *__restrict__ n,
                                                                Prefixes levels, int *__restrict__ starts) {
    const int level = static_cast<int>(threadIdx.x);
    if (level > levels.count) {
        return;
    }
    const int64_t first = level == 0 ? 0 : levels.latents[level - 1];
    int low = 0;
    int high = *n;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (list[middle] < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    starts[level] = low;
}

} // namespace

cudaError_t launch_row_numbers(const int64_t *starts, int64_t rows, uint32_t *row_of, cudaStream_t stream) {
    return launch(row_numbers_kernel, rows, stream, starts, row_of);
}

cudaError_t launch_count_rows(const RaggedBatch &batch, double *active, double *least, StepSums *sums,
                              RaggedSums *ragged, cudaStream_t stream) {
    const cudaError_t error = launch(count_rows_kernel, divide_up(batch.rows, kWarps), stream, batch, active, least);
    return error != cudaSuccess ? error
                                : launch(total_counts_kernel, 1, stream, active, least, batch.rows, sums, ragged);
}

cudaError_t launch_mark_fired(const RaggedBatch &batch, const RaggedLists &lists, int64_t d_sae, bool first,
                              unsigned char *record, cudaStream_t stream) {
    return launch(mark_fired_kernel, divide_up(d_sae, kWarps), stream, batch, lists, d_sae, first, record);
}

cudaError_t launch_level_starts(const int *list, const int *n, const Prefixes &levels, int *starts,
                                cudaStream_t stream) {
    return launch(level_starts_kernel, 1, stream, list, n, levels, starts);
}

} // namespace sae::cuda
