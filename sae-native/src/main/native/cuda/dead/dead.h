/* dead.h: launches of the idle counters and the list of dead latents; definitions are in dead.cu. */
#ifndef SAE_CUDA_DEAD_H
#define SAE_CUDA_DEAD_H

#include "../train/step_state.h"

namespace sae::cuda {

struct Fired {
    const int64_t *offsets; // lists of this batch or part; null: use only the record
    unsigned char *record;  // [m] whether a latent has fired in this step's parts so far; null: a step is one batch
    bool first;             // part of the step: the record's old contents are ignored
};
struct IdleCounters {
    int64_t *batches; // [m]
    int64_t *rows;    // [m]
};
struct DeadRule { // 0: off
    int64_t after_batches;
    int64_t after_rows;
};
struct DeadLatents {
    int *list;    // [m]
    int *rank;    // [m]
    int *counts;  // [1 + parts]; parts more for launch_gate_dead
    int64_t part; // dead latents in a part
    int64_t parts;
};
/* The parts run in tiers of 1, 1, 2, 4, ... of them, each a branch of the step's graph: how many kernels a step runs
 * follows from the number of dead latents, which only the device knows, up to a factor of 2. */
constexpr int kDeadTiers = 6; // the last one has all the rest
struct DeadBranches {
    Condition reconstruct[kDeadTiers], update[kDeadTiers];
};
/* Number of the tier's first part; of a tier that there is not: the number of parts. */
__host__ __device__ inline int64_t first_part(const DeadLatents &dead, int tier) {
    const int64_t first = tier == 0 ? 0 : int64_t{1} << (tier - 1);
    return tier >= kDeadTiers || first > dead.parts ? dead.parts : first;
}
/* in_block is scratch [divide_up(m, kThreads)]; `idle` is read and `counted` written; they may be the same */
cudaError_t launch_dead(const DeadRule &rule, const Fired &fired, int64_t rows, int64_t d_sae, const StepStatus *status,
                        const IdleCounters &idle, const IdleCounters &counted, int *in_block, const DeadLatents &out,
                        cudaStream_t stream, const DeadBranches &branches = {});
/* the parts' counts again, for a pass that runs only if *only_if */
cudaError_t launch_gate_dead(const int *only_if, const DeadLatents &dead, cudaStream_t stream);

} // namespace sae::cuda
#endif
