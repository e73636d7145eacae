/* batch_cut.h: the largest entries of ragged rows; contract and cost are in batch_cut.cu. */
#ifndef SAE_CUDA_BATCH_CUT_H
#define SAE_CUDA_BATCH_CUT_H

#include "ragged.h"

namespace sae::cuda {

/* Entries above `value` stay, and of those equal to it the first `ties`. All bits 0: every entry stays. */
struct BatchCut {
    float value;
    int unused;
    int64_t ties;
};

constexpr int64_t kCutCounts = 256;

/* cut: such that `count` of the entries [0, total) stay, 0 < count <= total; counts: scratch [kCutCounts]. */
cudaError_t launch_find_cut(const float *values, int64_t total, int64_t count, BatchCut *cut, unsigned *counts,
                            cudaStream_t stream);
/* The entries of rows [0, rows) that stay; into.starts[0] must be 0. kept, equal: scratch [rows]. */
cudaError_t launch_cut(const Ragged &from, int64_t rows, const BatchCut *cut, int *kept, int *equal, const Ragged &into,
                       cudaStream_t stream);

} // namespace sae::cuda
#endif
