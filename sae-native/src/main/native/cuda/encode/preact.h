/*
 * preact.h: pre-activations z' = x' W' + b of rows in 16 bits, and other products x w^T of such rows.
 *
 * Three kernels with one contract (preact_plain.cu): preact_plain.cu, preact_sm80.cu and preact_sm90.cu. epilogue.cuh is
 * what each does with z': store it, or list it if it may be among the k largest of its row.
 */
#ifndef SAE_CUDA_PREACT_H
#define SAE_CUDA_PREACT_H

#include "shadow.h"

namespace sae::cuda {

struct Operands {
    const uint16_t *x; // [rows, depth]
    int64_t rows;
    const uint16_t *w;             // [m, depth]
    const float *bias = nullptr;   // [m]; null: none (not for lists)
    int64_t d_sae;                 // m
    int64_t depth;                 // a multiple of kDepthStep
    const int *names = nullptr;    // int32 on the device: column c is latent names[c]; null: latent c
    const int *n_active = nullptr; // int32 [1] on the device: only this many columns count; null: all
    int64_t first = 0;             // columns [first, last) are computed; first is a multiple of kLatentGroup
    int64_t last;
    Narrow format = Narrow::kBf16; // of x and w
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
    const RowBound *rows = nullptr; // whose scale is that of z'; null: 1
};

/* Where candidates go: list [rows, capacity] of (bits of z') << 32 | column, counts include entries that did not
 * fit. */
struct ListTarget {
    uint64_t *list;
    int *count;
    const float *threshold; // of each row; 0: every positive value is a candidate
    int64_t capacity;
    const RowBound *rows;      // with halves; with bf16 z' is the value itself, and has no margin
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

} // namespace sae::cuda
#endif
