/* shadow.h: W_enc and x in 16 bits, with bounds on the rounding error; definitions and cost are in shadow.cu and
 * rounding.cuh. */
#ifndef SAE_CUDA_SHADOW_H
#define SAE_CUDA_SHADOW_H

#include "../device/device.h"
#include "../device/narrow_bits.h"

namespace sae::cuda {

constexpr int64_t kDepthStep = 64;    // rows in 16 bits are zero-padded to a multiple of this
constexpr int64_t kLatentGroup = 256; // latents that share one bound; columns of the widest tile

struct RowBound { // rounding.cuh
    float norm;   // |x|
    float slack;  // |dx| + a |x|
    float floor;  // f
    float scale;  // of a product of what was rounded
};

struct LatentBound {
    float error;  // |dw|
    float length; // |w'| + |dw|
    float fixed;  // 8 u |b|
};

/* W_enc as rounded (null: none). Bounds of single latents [m], then of groups of kLatentGroup
 * (their maxima), then of all. */
struct ShadowView {
    uint16_t *rounded; // [m, depth]
    LatentBound *latents;
    LatentBound *groups; // [divide_up(m, kLatentGroup)], then one for all latents
    int64_t d_sae;
    int64_t depth;
    Narrow format;
};

/* x as rounded. */
struct RowsView {
    uint16_t *rounded; // [B, depth]
    RowBound *bounds;  // [B]
};

cudaError_t launch_round_latents(const float *w_enc, const float *b_enc, int64_t d_in, const ShadowView &shadow,
                                 cudaStream_t stream);
cudaError_t launch_round_matrix(const float *matrix, int64_t rows, int64_t columns, uint16_t *rounded, int64_t depth,
                                cudaStream_t stream);
/* groups from latents: for callers that write `rounded` and `latents` themselves (rounding.cuh) */
cudaError_t launch_group_bounds(const ShadowView &shadow, cudaStream_t stream);

} // namespace sae::cuda
#endif
