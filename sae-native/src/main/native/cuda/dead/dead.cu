/*
 * dead.cu: how long each latent has been idle, and the list of dead latents.
 *
 *   fired[j]           = latent j's list of this batch is not empty (csc.cu)
 *                        or it fired in an earlier part of this step (record)
 *   counted batches[j] = fired[j] ? 0 : idle batches[j] + 1
 *   counted rows[j]    = fired[j] ? 0 : idle rows[j] + rows
 *   dead[j]            = (after_batches > 0 and counted batches[j] >= after_batches)
 *                        or (after_rows > 0 and counted rows[j] >= after_rows)
 *
 * A part counts into scratch, using the rows of the step so far; the whole batch counts in place.
 *
 * in:  offsets int64 [d_sae + 1], status (no change of the counters when it has a bad row), idle counters int64 [d_sae]
 * out: record uint8 [d_sae]; counted int64 [d_sae]; dead_list int32 [d_sae]: dead latents in ascending order; dead_rank
 *      int32 [d_sae]: a latent's position in that list, -1 if it is alive; counts int32 [1 + parts]: the number of dead
 *      latents, then how many of them are in each part of `part` consecutive entries
 * gate: then the counts of the parts again for a pass that runs only if *only_if is set; otherwise 0
 * scratch: in_block int32 [blocks of 256 latents]
 * Bytes: 24 d_sae read, 24 d_sae written. Launch: one thread per latent, twice; the second time each block first adds
 * up the counts of the blocks before it. 2.3 KiB shared memory.
 * Deterministic: integers only. Not measured on a GPU yet.
 */
#include "dead.h"

#include "../device/condition.cuh"
#include "../device/reduce.cuh"
#include "../train/step_state.h"

namespace sae::cuda {
namespace {

__device__ inline bool is_dead(const DeadRule &rule, int64_t idle_batches, int64_t idle_rows) {
    return (rule.after_batches > 0 && idle_batches >= rule.after_batches) ||
           (rule.after_rows > 0 && idle_rows >= rule.after_rows);
}

/* Whether a latent has fired in this step so far; keeps the record. */
__device__ inline bool fires(const Fired &of, int64_t latent) {
    bool fired = of.offsets != nullptr && of.offsets[latent + 1] > of.offsets[latent];
    if (of.record != nullptr) {
        fired = fired || (!of.first && of.record[latent] != 0);
        of.record[latent] = fired ? 1 : 0;
    }
    return fired;
}

__global__ void __launch_bounds__(kThreads)
    count_idle_kernel(DeadRule rule, Fired of, int64_t d_sae, int64_t rows, const StepStatus *status, IdleCounters idle,
                      IdleCounters counted, int *__restrict__ in_block) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    bool dead = false;
    if (latent < d_sae) {
        int64_t batches = idle.batches[latent];
        int64_t idle_rows = idle.rows[latent];
        if (status->bad_row == kNoBadRow) {
            const bool fired = fires(of, latent);
            batches = fired ? 0 : batches + 1;
            idle_rows = fired ? 0 : idle_rows + rows;
        }
        counted.batches[latent] = batches;
        counted.rows[latent] = idle_rows;
        dead = is_dead(rule, batches, idle_rows);
    }
    const double count = block_sum(dead ? 1.0 : 0.0);
    if (threadIdx.x == 0) {
        in_block[blockIdx.x] = static_cast<int>(count);
    }
}

__global__ void __launch_bounds__(kThreads)
    list_dead_kernel(DeadRule rule, int64_t d_sae, IdleCounters counted, const int *__restrict__ in_block,
                     int64_t blocks, DeadLatents out, DeadBranches branches) {
    __shared__ int flags[kThreads];
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kThreads + thread;
    const bool dead = latent < d_sae && is_dead(rule, counted.batches[latent], counted.rows[latent]);
    flags[thread] = dead ? 1 : 0;
    double before = 0.0;
    for (int64_t block = thread; block < blockIdx.x; block += kThreads) {
        before += in_block[block];
    }
    const int before_block = static_cast<int>(block_sum(before)); // an exact integer; its barriers show the flags
    int rank = before_block;
    for (int other = 0; other < thread; other++) {
        rank += flags[other];
    }
    if (latent < d_sae) {
        out.rank[latent] = dead ? rank : -1;
        if (dead) {
            out.list[rank] = static_cast<int>(latent);
        }
    }
    if (blockIdx.x == blocks - 1) {
        const int all = before_block + in_block[blockIdx.x];
        for (int64_t part = thread; part < out.parts; part += kThreads) {
            const int64_t rest = all - part * out.part;
            out.counts[1 + part] = static_cast<int>(rest < 0 ? 0 : rest < out.part ? rest : out.part);
        }
        if (thread == 0) {
            out.counts[0] = all;
            for (int tier = 0; tier < kDeadTiers; tier++) {
                const bool wanted = all > first_part(out, tier) * out.part;
                set_condition(branches.reconstruct[tier], wanted);
                set_condition(branches.update[tier], wanted);
            }
        }
    }
}

__global__ void __launch_bounds__(kThreads) gate_dead_kernel(const int *only_if, DeadLatents dead) {
    for (int64_t part = threadIdx.x; part < dead.parts; part += kThreads) {
        dead.counts[1 + dead.parts + part] = *only_if == 0 ? 0 : dead.counts[1 + part];
    }
}

} // namespace

cudaError_t launch_dead(const DeadRule &rule, const Fired &fired, int64_t rows, int64_t d_sae, const StepStatus *status,
                        const IdleCounters &idle, const IdleCounters &counted, int *in_block, const DeadLatents &out,
                        cudaStream_t stream, const DeadBranches &branches) {
    const int64_t blocks = divide_up(d_sae, kThreads);
    const cudaError_t error =
        launch(count_idle_kernel, blocks, stream, rule, fired, d_sae, rows, status, idle, counted, in_block);
    return error != cudaSuccess
               ? error
               : launch(list_dead_kernel, blocks, stream, rule, d_sae, counted, in_block, blocks, out, branches);
}

cudaError_t launch_gate_dead(const int *only_if, const DeadLatents &dead, cudaStream_t stream) {
    return launch(gate_dead_kernel, 1, stream, only_if, dead);
}

} // namespace sae::cuda
