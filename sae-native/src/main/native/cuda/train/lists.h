/* lists.h: the launch of a step's lists; definitions and cost are in lists.cu. */
#ifndef SAE_CUDA_LISTS_H
#define SAE_CUDA_LISTS_H

#include "decide.h"
#include "step_state.h"

namespace sae::cuda {

constexpr int64_t kStretch = 128;                  // list entries summed separately if of one latent
constexpr int64_t kCollectBlocks = SAE_SUM_BLOCKS; // partial sums of a step's squares
constexpr int kCollected = 6;                      // sums of squares: of e, r, g, z, dz, z_aux

struct ListInputs {
    int64_t entries, k, d_in, d_sae, slices;
    const uint32_t *order;
    const uint32_t *sorted;
    const int64_t *offsets;
    const float *values;
    const float *dz_parts;
    const float *aux_values; // [aux_entries]
    int64_t aux_entries;
    const int *n_dead;             // null: no auxiliary loss
    const double *forward_squares; // [3, forward_blocks]
    int64_t forward_blocks;
    Gathered gradient, input; // both float32 or both bf16
};
struct LatentLists {
    uint32_t *rows; // [entries], by list position
    float *z;
    float *dz;
    float *by_z; // [entries / kStretch, d_in]
    float *by_dz;
    float *bias; // [entries / kStretch]
};
/* partials [kCollected, kCollectBlocks]; arrived: 0 before and after. The decision is made once squares are summed. */
cudaError_t launch_lists(const ListInputs &in, const LatentLists &lists, const Decision &decision, double *partials,
                         uint32_t *arrived, cudaStream_t stream);

} // namespace sae::cuda
#endif
