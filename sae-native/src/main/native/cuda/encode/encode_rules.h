/* encode_rules.h: sae_encode with the rules other than SAE_TOPK: what they share. */
#ifndef SAE_CUDA_ENCODE_RULES_H
#define SAE_CUDA_ENCODE_RULES_H

#include "shadow_copies.h"

namespace sae::cuda {

/* Scratch for the rows that the encoder reads, and the products of some of them with all latents. */
struct RuleInput {
    int *bad_row;
    Staged<float> x;
    float *centred;
    RowsView rounded; // null where nothing reads it

    RuleInput(Carver &carver, const Params &params, int64_t rows, bool wants_rounded, const Buffer &x_);
};

/* x, or x - b_dec; lowers bad_row to the first row that is not finite. */
const float *prepare_input(const Params &params, const RuleInput &scratch, int64_t rows, int *bad_row);

/* Rows whose products with all latents exist at a time: 32 MiB of them, but whole tiles. */
int64_t rows_at_once(const Params &params, int64_t rows);

/* scores [rows, d_sae] of rows [first, first + rows), with bias or, if that is null, without; in the context's precision.
 * rounded: of all rows; read with precision=bf16 only. among, n_among: a list of latents and its length, on the device, whose
 * products take the first columns; null: all. */
void multiply_rows(const Params &params, const RowsView &rounded, const float *input, int64_t first, int64_t rows,
                   const float *bias, float *scores, const int *among = nullptr, const int *n_among = nullptr);

/* SAE_NONFINITE if there is a bad row; waits for everything queued. */
void require_finite_rows(const Context &context, const int *bad_row, int64_t rows);

/* SAE_BATCH_TOPK and SAE_THRESHOLD_RULE; return the number of entries. encode_threshold.cu, encode_batch.cu. */
int64_t encode_batch_topk(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into);
int64_t encode_threshold(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into);

} // namespace sae::cuda
#endif
