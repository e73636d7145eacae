/* lists.h: launches of the lists of a step; definitions and cost are in lists.cu. */
#ifndef SAE_CUDA_LISTS_H
#define SAE_CUDA_LISTS_H

#include "step_state.h"

namespace sae::cuda {

constexpr int64_t kStretch = 128;                  // list entries summed separately if of one latent
constexpr int64_t kCollectBlocks = SAE_SUM_BLOCKS; // partial sums of a step's squares
constexpr int kCollected = 6;                      // sums of squares: of e, r, g, z, dz, z_aux

struct ListInputs {
    int64_t entries, k, d_sae, slices;
    const uint32_t *order;
    const int64_t *offsets;
    const float *values;
    const float *dz_parts;
    const float *aux_values; // [aux_entries]
    int64_t aux_entries;
    const int *n_dead; // null: no auxiliary loss
};
struct LatentLists {
    uint32_t *rows; // [entries], by list position
    float *z;
    float *dz;
    float *by_z; // [entries / kStretch, d_in]
    float *by_dz;
    float *bias; // [entries / kStretch]
};
cudaError_t launch_collect(const ListInputs &in, const double *forward_squares, int64_t forward_blocks,
                           const LatentLists &lists, double *partials, cudaStream_t stream);
cudaError_t launch_stretches(const LatentLists &lists, const uint32_t *sorted, int64_t entries, int64_t d_sae,
                             const Gathered &gradient, const Gathered &input, int64_t d_in, cudaStream_t stream);

} // namespace sae::cuda
#endif
