/*
 * csc.cpp: regroups the chosen entries of a batch from row by row to latent by latent, once per step. The gradients of
 * W_enc, W_dec and b_enc are then sums over a latent's own list, in row order: no atomics, and bit-identical from run
 * to run.
 * A counting sort: 2 operations an entry, on one thread (65,536 entries: under 1 % of a step).
 */
#include "csc.h"

#include "trainer.h"

namespace sae::cpu {

void Trainer::group_by_latent() {
    if (batch.dense) { /* nobody reads the lists */
        sum_by_latent();
        return differentiate_densely();
    }
    const auto entries = [&](int64_t row) {
        const int64_t first = batch.begin(row);
        return std::pair(first, first + batch.positive(row));
    };
    group_by_column(batch.rows, params.d_sae, batch.index.data(), batch.start, entries,
                    [&](int64_t to, int64_t row, int64_t i) {
                        batch.row_of[to] = static_cast<int32_t>(row);
                        batch.value_of[to] = batch.value[i];
                        batch.dz_of[to] = batch.dz[i];
                        if (gated()) {
                            batch.gate_of[to] = batch.gate[i];
                        }
                    });
    if (options.rule == SAE_THRESHOLD_RULE) {
        sum_by_latent();
    }
    if (multi()) {
        group_multi();
    }
}

} // namespace sae::cpu
