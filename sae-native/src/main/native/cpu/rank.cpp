/*
 * rank.cpp: SAE_OPT_RANK_BY_NORM, as SAELens 6.54 trains by default (topk_sae.py, rescale_acts_by_decoder_norm): it compares
 * z_pre |W_dec[j]|, and divides by the norm again where it decodes. The norm's gradient cancels, so all but the choice is
 * that of values z_pre: they are restored here, and nothing after the encoder knows of norms but the learned threshold.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {

std::vector<float> Trainer::decoder_norms() const {
    constexpr int64_t kLatents = 256;
    std::vector<float> norms(params.d_sae);
    for_ranges(context, params.d_sae, kLatents, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t latent = first; latent < last; latent++) {
            const float *row = params.w_dec() + latent * params.d_out;
            norms[latent] = static_cast<float>(std::sqrt(context.kernels.dot3(row, row, params.d_out).gg));
        }
    });
    return norms;
}

Encoder Trainer::ranking_encoder() {
    Encoder encoder = encoder_of(params);
    if (options.rank_by_norm) {
        batch.rank = decoder_norms();
        encoder.rank = batch.rank.data();
    }
    return encoder;
}

void Trainer::unrank(int64_t entries) {
    for (int64_t i = 0; !batch.rank.empty() && i < entries; i++) {
        if (batch.value[i] != 0) { /* its norm is not 0 */
            batch.value[i] /= batch.rank[batch.index[i]];
        }
    }
}

} // namespace sae::cpu
