/*
 * train_step.cpp: one step, in the order of sae_train_step: forward (encode_topk.cpp), dead latents (dead.cpp), losses
 * and backward (losses.cpp, backward.cpp), entries by latent (csc.cpp), weights (adam.cpp).
 *
 * FLOPs per row: 2 d_in d_sae for the encoder, 8 k d_in for the sparse parts, and with dead latents 10 n_dead d_in.
 * Memory: 48 bytes per weight pair (w, m, v of W_enc and W_dec, read and written), the rest comes from cache.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {

TrainerOptions::TrainerOptions(const double *o)
    : k(static_cast<int64_t>(o[SAE_OPT_K])), loss(static_cast<int>(o[SAE_OPT_LOSS])),
      aux_coefficient(o[SAE_OPT_AUX_COEFFICIENT]), aux_k(static_cast<int64_t>(o[SAE_OPT_AUX_K])),
      aux_norm(static_cast<int>(o[SAE_OPT_AUX_NORM])), aux_detach(o[SAE_OPT_AUX_DETACH] != 0),
      aux_scale_by_dead(o[SAE_OPT_AUX_SCALE_BY_DEAD] != 0),
      dead_after_batches(static_cast<int64_t>(o[SAE_OPT_DEAD_AFTER_BATCHES])),
      dead_after_rows(static_cast<int64_t>(o[SAE_OPT_DEAD_AFTER_ROWS])), beta1(o[SAE_OPT_ADAM_BETA1]),
      beta2(o[SAE_OPT_ADAM_BETA2]), eps(o[SAE_OPT_ADAM_EPS]), clip_norm(o[SAE_OPT_CLIP_NORM]),
      decoder_norm(static_cast<int>(o[SAE_OPT_DECODER_NORM])), project_gradient(o[SAE_OPT_PROJECT_GRADIENT] != 0),
      train_b_enc(o[SAE_OPT_TRAIN_B_ENC] != 0), freeze_decoder(o[SAE_OPT_FREEZE_DECODER] != 0),
      gradients(static_cast<int>(o[SAE_OPT_GRADIENTS])) {}

Trainer::Trainer(Params &of, const double *option_values)
    : params(of), context(of.context), options(option_values), idle_batches(of.d_sae), idle_rows(of.d_sae) {
    for (int tensor = 0; tensor < 4 && options.gradients != SAE_GRADIENTS_ONLY; tensor++) {
        first[tensor] = Block<float>(params.tensors[tensor].size());
        second[tensor] = Block<float>(params.tensors[tensor].size());
    }
    if (options.gradients != SAE_GRADIENTS_NONE) {
        pending.encoder = Block<float>(params.d_sae * params.d_in);
        pending.decoder = Block<float>(params.d_sae * params.d_in);
        pending.bias = Block<float>(params.d_sae);
    }
    fired.resize(params.d_sae);
    batch.start.resize(params.d_sae + 1);
    batch.next.resize(params.d_sae + 1);
    batch.slot_of.resize(params.d_sae);
    batch.dead.reserve(params.d_sae);
}

int64_t Trainer::live_bytes() const {
    int64_t bytes = idle_batches.bytes() + idle_rows.bytes() + pending.encoder.bytes() + pending.decoder.bytes() +
                    pending.bias.bytes();
    for (int tensor = 0; tensor < 4; tensor++) {
        bytes += first[tensor].bytes() + second[tensor].bytes();
    }
    return bytes;
}

void Trainer::prepare(const float *x, int64_t rows) {
    constexpr int64_t kRows = 64;
    const int64_t d = params.d_in;
    const int64_t entries = rows * options.k;
    batch.x = x;
    batch.rows = rows;
    batch.index.grow(entries);
    batch.value.grow(entries);
    batch.dz.grow(entries);
    batch.error.grow(rows * d);
    batch.row_of.grow(entries);
    batch.value_of.grow(entries);
    batch.dz_of.grow(entries);
    batch.input_norm.resize(rows);
    batch.input.grow(rows * d);
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            const double squares = context.kernels.centre(x + row * d, params.shift(), &batch.input[row * d], d);
            batch.input_norm[row] = std::sqrt(squares);
        }
    });
    if (params.longest_encoder_row < 0) {
        params.longest_encoder_row = longest_row(context, params.w_enc(), params.d_sae, d);
    }
}

Sums Trainer::differentiate(const float *x, int64_t rows, int64_t pending_rows, double weight) {
    require_finite(context, x, rows, params.d_in);
    prepare(x, rows);
    batch.weight = weight;
    encode_topk(context, encoder_of(params), batch.input.data(), rows, options.k, batch.index.data(),
                batch.value.data());
    find_dead(pending_rows);
    Sums sums = forward_and_backward();
    group_by_latent();
    return sums;
}

void Trainer::finish(const Sums &sums, bool from_pending, int64_t rows, double weight, double lr) {
    const int64_t dead = count_idle(rows);
    const double norm = update(sums, from_pending, weight, lr);
    stats[SAE_STAT_RECONSTRUCTION] = sums.reconstruction / weight;
    stats[SAE_STAT_AUX] = sums.aux / weight;
    stats[SAE_STAT_LOSS] = stats[SAE_STAT_RECONSTRUCTION] + stats[SAE_STAT_AUX];
    stats[SAE_STAT_L0] = static_cast<double>(sums.active) / static_cast<double>(rows);
    stats[SAE_STAT_DEAD] = static_cast<double>(dead);
    stats[SAE_STAT_FVU] = sums.variance == 0 ? 0 : sums.error / sums.variance;
    stats[SAE_STAT_GRADIENT_NORM] = norm;
}

void Trainer::step(const float *x, int64_t rows, double lr) {
    finish(differentiate(x, rows, 0, 1), false, rows, 1, lr);
}

} // namespace sae::cpu
