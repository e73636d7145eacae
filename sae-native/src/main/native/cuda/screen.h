/*
 * screen.h: bfloat16 pre-activations and the choice among them: types and launchers, in the order an encode uses them.
 * Formulas, shapes and costs are at the top of the .cuh file named with each. B rows, m = d_sae.
 *
 *   shadow.cuh      W_enc and x in bf16, with bounds on the rounding error
 *   preact_*.cuh    z' = x' W' + b, three kernels with one contract: plain, sm_80, sm_90
 *   epilogue.cuh    what such a kernel does with z': store it, or list it if it may be among the k largest of its row
 *   select.cuh      thresholds, lists, the final choice, and rows whose list overflowed
 */
#ifndef SAE_CUDA_SCREEN_H
#define SAE_CUDA_SCREEN_H

#include "device.h"

namespace sae::cuda {

constexpr int64_t kDepthStep = 64;    // bf16 rows are zero-padded to a multiple of this
constexpr int64_t kLatentGroup = 256; // latents that share one bound; columns of the widest tile
constexpr int64_t kMostListed = 512;  // the largest k that uses lists
constexpr int kOverflowed = 1 << 30;  // the count of a row whose list overflowed

inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

struct RowBound { // bf16.cuh
    float norm;   // |x|
    float slack;  // |dx| + a |x|
    float floor;  // f
};

struct LatentBound {
    float error;  // |dw|
    float length; // |w'|
    float fixed;  // 8 u |b|
};

/* W_enc in bf16 (null: none). Bounds of single latents [m], then of groups of kLatentGroup
 * (their maxima), then of all. */
struct ShadowView {
    uint16_t *rounded; // [m, depth]
    LatentBound *latents;
    LatentBound *groups; // [divide_up(m, kLatentGroup)], then one for all latents
    int64_t d_sae;
    int64_t depth;
};

/* x in bf16. */
struct RowsView {
    uint16_t *rounded; // [B, depth]
    RowBound *bounds;  // [B]
};

/* shadow.cuh */
cudaError_t launch_round_latents(const float *w_enc, const float *b_enc, int64_t d_in, const ShadowView &shadow,
                                 cudaStream_t stream);
cudaError_t launch_round_matrix(const float *matrix, int64_t rows, int64_t columns, uint16_t *rounded, int64_t depth,
                                cudaStream_t stream);
/* groups from latents: for callers that write `rounded` and `latents` themselves (bf16.cuh) */
cudaError_t launch_group_bounds(const ShadowView &shadow, cudaStream_t stream);

/* ---- pre-activations, and other products x w^T of bf16 rows ---- */

struct Operands {
    const uint16_t *x; // [rows, depth]
    int64_t rows;
    const uint16_t *w;   // [m, depth]
    const float *bias;   // [m]; null: none (not for lists)
    int64_t d_sae;       // m
    int64_t depth;       // a multiple of kDepthStep
    const int *names;    // int32 on the device: column c is latent names[c]; null: latent c
    const int *n_active; // int32 [1] on the device: only this many columns count; null: all
    int64_t first;       // columns [first, last) are computed; first is a multiple of kLatentGroup
    int64_t last;
    const int *n_depth =
        nullptr; // int32 [1] on the device: only this much of the depth counts, padded with 0 up to the next
                 // multiple of kDepthStep; if 0, no column counts; null: all
};

enum class Store { kSet, kAdd, kTransposed };

/* Where z' goes as a dense matrix: scores [rows, stride], or transposed [columns, stride]; column `first` at 0. */
struct ScoreTarget {
    float *scores;
    int64_t stride;
    Store how = Store::kSet;
};

/* Where candidates go: list [rows, capacity] of (bits of z') << 32 | column, counts include entries that did not
 * fit. */
struct ListTarget {
    uint64_t *list;
    int *count;
    const float *threshold; // of each row; 0: every positive value is a candidate
    int64_t capacity;
    const RowBound *rows;      // null: z' is the value itself, with no margin
    const LatentBound *groups; // of ShadowView
};

/* Tensor maps of both operands for the copy engine of sm_90 are created with the driver's function. */
cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ScoreTarget &target);
cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ListTarget &target);

cudaError_t launch_plain(const Context &context, const Operands &operands, const ScoreTarget &target);
cudaError_t launch_plain(const Context &context, const Operands &operands, const ListTarget &target);
cudaError_t launch_sm80(const Context &context, const Operands &operands, const ScoreTarget &target);
cudaError_t launch_sm80(const Context &context, const Operands &operands, const ListTarget &target);
cudaError_t launch_sm90(const Context &context, const Operands &operands, const ScoreTarget &target);
cudaError_t launch_sm90(const Context &context, const Operands &operands, const ListTarget &target);

/* ---- choice ---- */

struct Choice { // of the k largest of each row
    int64_t k;
    int64_t columns;  // all columns, ignoring n_active
    const int *names; // as in Operands; only without lists
    const int *n_active;
    const float *scores; // dense columns [0, width) with their stride; null: lists only
    int64_t width;
    int64_t stride;
    uint64_t *list; // [rows, capacity]; null: `scores` holds all columns, an overflowing row is chosen from it
    int *count;
    float *threshold; // raised
    int64_t capacity;
    const RowBound *rows; // null: scores are the values
    const LatentBound *latents;
    const LatentBound *groups;
    const float *input; // float32 x, weights and bias, for the values of the final candidates
    const float *w_enc;
    const float *b_enc;
    int64_t d_in;
    bool last;    // write indices and values; otherwise lists and thresholds
    int *indices; // [rows, k]
    float *values;
    int *overflowed; // rows that overflowed, relative to first_row, and their number
    int *n_overflowed;
    int64_t first_row;
};

cudaError_t launch_choose(const Choice &choice, int64_t rows, cudaStream_t stream);

/* Recomputes the rows in `overflowed` from every latent. scores [slots, columns] is scratch. `rounded` null: in
 * float32. */
struct Recompute {
    const int *overflowed;
    const int *n_overflowed;
    const float *input; // float32 [B, d_in]
    const float *w_enc;
    const float *b_enc;
    int64_t d_in;
    const uint16_t *rounded; // bf16 [B, depth] and [m, depth]
    const uint16_t *w;
    int64_t depth;
    int64_t columns;
    int64_t k;
    float *scores;
    int *indices; // [B, k]
    float *values;
};
cudaError_t launch_recompute(const Recompute &recompute, int64_t slots, cudaStream_t stream);

} // namespace sae::cuda
#endif
