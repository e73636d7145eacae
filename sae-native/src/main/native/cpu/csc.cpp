/*
 * csc.cpp: regroups the chosen entries of a batch from row by row to latent by latent, once per step. The gradients of
 * W_enc, W_dec and b_enc are then sums over a latent's own list, in row order: no atomics, and bit-identical from run
 * to run.
 * A counting sort: 2 operations an entry, on one thread (65,536 entries: under 1 % of a step).
 */
#include "trainer.h"

namespace sae::cpu {

void Trainer::group_by_latent() {
    if (batch.dense) { /* nobody reads the lists */
        sum_by_latent();
        return differentiate_densely();
    }
    const bool ragged = batch.k == 0;
    std::vector<int64_t> &start = batch.start;
    std::fill(start.begin(), start.end(), 0);
    for (int64_t i = 0; i < batch.entries(); i++) {
        if (ragged || batch.value[i] != 0) {
            start[batch.index[i] + 1]++;
        }
    }
    for (int64_t latent = 0; latent < params.d_sae; latent++) {
        start[latent + 1] += start[latent];
    }
    std::vector<int64_t> &next = batch.next;
    std::copy(start.begin(), start.end(), next.begin());
    for (int64_t row = 0; row < batch.rows; row++) {
        const int64_t end = batch.begin(row + 1);
        for (int64_t i = batch.begin(row); i < end && (ragged || batch.value[i] != 0); i++) {
            const int64_t to = next[batch.index[i]]++;
            batch.row_of[to] = static_cast<int32_t>(row);
            batch.value_of[to] = batch.value[i];
            batch.dz_of[to] = batch.dz[i];
            if (gated()) {
                batch.gate_of[to] = batch.gate[i];
            }
        }
    }
    if (options.rule == SAE_THRESHOLD_RULE) {
        sum_by_latent();
    }
    if (multi()) {
        group_multi();
    }
}

} // namespace sae::cpu
