/* choose_ranked.h: the k largest of rows by something else than their values; contract and cost are in choose_ranked.cu. */
#ifndef SAE_CUDA_CHOOSE_RANKED_H
#define SAE_CUDA_CHOOSE_RANKED_H

#include "selection.h"

namespace sae::cuda {

/* By what latents compete: SAE_ABS_TOPK, SAE_OPT_RANK_BY_NORM, SAE_OPT_AUX_SIGNED. */
struct Ranking {
    const float *norms; // [m] that z_pre is multiplied by; null: 1
    bool by_size;       // |z_pre| competes
    bool signs;         // z_pre is what is kept; otherwise ReLU(z_pre)
};

/* One choice for all rows. */
struct RankedChoice {
    Ranking ranking;
    int64_t k;
    const int *among = nullptr;   // a list of latents, on the device; null: all
    const int *n_among = nullptr; // its length
    const int *starts =
        nullptr; // [levels + 1] on the device: level g chooses from among[starts[g], starts[g + 1]); null:
                 // one level, of the whole list
    int64_t levels = 1;
    int *indices;  // [levels, rows, k]; -1 where a level has fewer than k latents
    float *values; // [levels, rows, k]
};

/* What exists of the pre-activations at a time. */
struct ScoredChunk {
    int64_t rows;
    float *scores;  // [rows, d_sae]
    uint64_t *keys; // topk_scratch(rows, k)
};

/* input: prepared rows; rounded: the same as multiply_rows takes them. Does not wait. */
void choose_ranked(const Params &params, const RowsView &rounded, const ScoredChunk &scratch, const float *input,
                   int64_t rows, const RankedChoice &choice);
/* The same with the scratch of a selection, for all of its rows; also as the choice among all latents that clears counts. */
void choose_ranked(const Params &params, const Selection &selection, const float *input, const RankedChoice &choice);

/* values[i], which was multiplied by its latent's norm, again without it; entries without a value stay 0. */
cudaError_t launch_unrank(const int *indices, const float *norms, int64_t entries, float *values, cudaStream_t stream);

} // namespace sae::cuda
#endif
