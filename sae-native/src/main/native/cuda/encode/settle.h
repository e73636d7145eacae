/* settle.h: what fires among listed candidates; contract and cost are in settle.cu. */
#ifndef SAE_CUDA_SETTLE_H
#define SAE_CUDA_SETTLE_H

#include "firing.h"
#include "select.h"

namespace sae::cuda {

/* A screen for latents with thresholds: bias - threshold, and bounds of groups that cover its rounding. */
struct ThresholdBars {
    float *bias;         // [m]
    LatentBound *groups; // [divide_up(m, kLatentGroup)]
};
cudaError_t launch_threshold_bars(const float *b_enc, const float *threshold, const ShadowView &shadow,
                                  const ThresholdBars &bars, cudaStream_t stream);

struct Settle {
    uint64_t *list; // [rows, capacity], any order; becomes what fires, (bits of the value) << 32 | latent, by latent
    int *count;     // [rows]: candidates; becomes kInOverflow where they did not fit
    int64_t capacity;
    const RowBound *rows;
    const LatentBound *all; // of all latents together
    const float *input;     // float32 x of those rows
    const float *w_enc;
    int64_t d_in;
    Firing firing;
    int64_t first_row;
    int *kept;       // [B]: how many fire, where candidates fit
    int *overflowed; // rows where they did not, in any order
    SelectionCounts *counts;
};
constexpr int kInOverflow = -1;
cudaError_t launch_settle(const Settle &settle, int64_t rows, cudaStream_t stream);

} // namespace sae::cuda
#endif
