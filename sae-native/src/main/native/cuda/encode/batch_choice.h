/* batch_choice.h: SAE_BATCH_TOPK, for sae_encode and for training; contract and cost are in encode_batch.cu. */
#ifndef SAE_CUDA_BATCH_CHOICE_H
#define SAE_CUDA_BATCH_CHOICE_H

#include <algorithm>

#include "batch_cut.h"
#include "encode_rules.h"

namespace sae::cuda {

struct BatchChoice {
    int64_t k;
    int64_t chunk; // rows whose products with all latents exist at a time
    float *scores; // [chunk, d_sae]
    int *kept;     // [rows]
    int *equal;    // [rows]
    BatchCut *cut;
    unsigned *counts;
    Ragged sets[2]; // the entries so far, and after a cut

    BatchChoice(Carver &carver, const Params &params, int64_t rows, int64_t k_)
        : k(k_), chunk(rows_at_once(params, rows)), scores(carver.take<float>(chunk * params.d_sae)),
          kept(carver.take<int>(rows)), equal(carver.take<int>(rows)), cut(carver.take<BatchCut>(1)),
          counts(carver.take<unsigned>(kCutCounts)) {
        const int64_t room = std::min(2 * k * rows, rows * params.d_sae) + chunk * params.d_sae;
        for (Ragged &set : sets) {
            set = {carver.take<int64_t>(rows + 1), nullptr, carver.take<int>(room), carver.take<float>(room), room};
        }
    }
};

/* Of the prepared rows `input`, and as multiply_rows takes them, the k rows largest into `into`; the number of entries.
 * norms [m]: z_pre times them is what is compared, and what the values are; null: 1. Waits for everything queued. */
int64_t choose_of_batch(const Params &params, const BatchChoice &scratch, const RowsView &rounded, const float *input,
                        int64_t rows, const float *norms, const Ragged &into);

} // namespace sae::cuda
#endif
