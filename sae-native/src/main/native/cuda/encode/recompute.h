/* recompute.h: the launch that recomputes rows whose list overflowed; contract and cost are in recompute.cu. */
#ifndef SAE_CUDA_RECOMPUTE_H
#define SAE_CUDA_RECOMPUTE_H

#include "select.h"

namespace sae::cuda {

constexpr int kRecomputeRows = 8; // of a tile

struct Recompute {
    const int *overflowed;
    const SelectionCounts *counts;
    int64_t first;      // position in `overflowed` of this launch's first row
    int64_t slots;      // most rows of a launch
    const float *input; // float32 [B, d_in]
    const float *w_enc;
    const float *b_enc; // null: none
    int64_t d_in;
    const uint16_t *rounded; // bf16 [B, depth] and [m, depth]; null: in float32
    const uint16_t *w;
    int64_t depth;
    int64_t columns;
    int64_t k;     // 0: nothing is chosen, `scores` is what is wanted
    float *scores; // scratch [slots, columns]
    int *done;     // scratch [divide_up(slots, kRecomputeRows)], 0; not used without a choice
    int *indices;  // [B, k]
    float *values;
};
cudaError_t launch_recompute(const Context &context, const Recompute &recompute);

} // namespace sae::cuda
#endif
