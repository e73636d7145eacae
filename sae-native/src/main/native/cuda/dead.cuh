/*
 * dead.cuh: which latents fired, how long the others have been idle, and the list of the dead.
 *
 *   fired[j]        = some kept value of latent j is > 0 in this batch
 *   idle_batches[j] = fired[j] ? 0 : idle_batches[j] + 1
 *   idle_rows[j]    = fired[j] ? 0 : idle_rows[j] + rows
 *   dead[j]         = (after_batches > 0 and idle_batches[j] >= after_batches)
 *                     or (after_rows > 0 and idle_rows[j] >= after_rows)
 *
 * in:  indices int32 [rows, k], values float32 [rows, k], status (no change when it has a bad row)
 * out: fired int32 [d_sae] (cleared by the caller), idle_batches and idle_rows int64 [d_sae],
 *      dead_list int32 [d_sae]: the dead in ascending order, n_dead int32 [1]
 * Bytes: 8 rows k + 20 d_sae read, 20 d_sae written.
 * Launch: mark: a thread per kept value; count: a thread per latent; compact: one block, a contiguous run of latents a
 * thread, so the list ascends and ties among the dead go to the lower latent.
 * Deterministic: several threads may write the same 1 to fired; nothing else is shared. Not yet run on a GPU.
 */
#ifndef SAE_CUDA_DEAD_CUH
#define SAE_CUDA_DEAD_CUH

#include "device.h"
#include "kernels.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    mark_fired_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t entries, int *fired) {
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (entry < entries && values[entry] > 0.0f) {
        fired[indices[entry]] = 1;
    }
}

__global__ void __launch_bounds__(kThreads)
    count_idle_kernel(const int *__restrict__ fired, int64_t d_sae, int64_t rows, const StepStatus *status,
                      int64_t *__restrict__ idle_batches, int64_t *__restrict__ idle_rows) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (latent >= d_sae || status->bad_row != kNoBadRow) {
        return;
    }
    idle_batches[latent] = fired[latent] != 0 ? 0 : idle_batches[latent] + 1;
    idle_rows[latent] = fired[latent] != 0 ? 0 : idle_rows[latent] + rows;
}

__global__ void __launch_bounds__(kThreads)
    compact_dead_kernel(const int64_t *__restrict__ idle_batches, const int64_t *__restrict__ idle_rows, int64_t d_sae,
                        int64_t after_batches, int64_t after_rows, int *__restrict__ dead_list,
                        int *__restrict__ n_dead) {
    __shared__ int counts[kThreads];
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t run = (d_sae + kThreads - 1) / kThreads;
    const int64_t begin = thread * run < d_sae ? thread * run : d_sae;
    const int64_t end = begin + run < d_sae ? begin + run : d_sae;
    int next = 0;
    for (int pass = 0; pass < 2; pass++) { // count, then write
        int count = 0;
        for (int64_t latent = begin; latent < end; latent++) {
            const bool dead = (after_batches > 0 && idle_batches[latent] >= after_batches) ||
                              (after_rows > 0 && idle_rows[latent] >= after_rows);
            if (dead) {
                if (pass == 1) {
                    dead_list[next + count] = static_cast<int>(latent);
                }
                count++;
            }
        }
        if (pass == 0) {
            counts[thread] = count;
            __syncthreads();
            for (int before = 0; before < thread; before++) {
                next += counts[before];
            }
            if (thread == kThreads - 1) {
                *n_dead = next + count;
            }
        }
    }
}

} // namespace
} // namespace sae::cuda
#endif
