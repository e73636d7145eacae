/*
 * train_step.cpp: one step, in the order of sae_train_step: forward (encode_topk.cpp, encode_batch.cpp), dead latents (dead.cpp), losses
 * and backward (losses.cpp, backward.cpp), entries by latent (csc.cpp), weights (adam.cpp).
 *
 * FLOPs per row: 2 d_in d_sae for the encoder, 8 k d_in for the sparse parts, and with dead latents 10 n_dead d_in.
 * Memory: 48 bytes per weight pair (w, m, v of W_enc and W_dec, read and written), the rest comes from cache.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {

TrainerOptions::TrainerOptions(const double *o, int64_t d_sae)
    : loss(static_cast<int>(o[SAE_OPT_LOSS])), aux_coefficient(o[SAE_OPT_AUX_COEFFICIENT]),
      aux_k(static_cast<int64_t>(o[SAE_OPT_AUX_K])), aux_norm(static_cast<int>(o[SAE_OPT_AUX_NORM])),
      aux_detach(o[SAE_OPT_AUX_DETACH] != 0), aux_scale_by_dead(o[SAE_OPT_AUX_SCALE_BY_DEAD] != 0),
      dead_after_batches(static_cast<int64_t>(o[SAE_OPT_DEAD_AFTER_BATCHES])),
      dead_after_rows(static_cast<int64_t>(o[SAE_OPT_DEAD_AFTER_ROWS])), beta1(o[SAE_OPT_ADAM_BETA1]),
      beta2(o[SAE_OPT_ADAM_BETA2]), eps(o[SAE_OPT_ADAM_EPS]), clip_norm(o[SAE_OPT_CLIP_NORM]),
      decoder_norm(static_cast<int>(o[SAE_OPT_DECODER_NORM])), project_gradient(o[SAE_OPT_PROJECT_GRADIENT] != 0),
      train_b_enc(o[SAE_OPT_TRAIN_B_ENC] != 0), freeze_decoder(o[SAE_OPT_FREEZE_DECODER] != 0),
      gradients(static_cast<int>(o[SAE_OPT_GRADIENTS])), rule(static_cast<int>(o[SAE_OPT_RULE])),
      clip_projected(o[SAE_OPT_CLIP_PROJECTED] != 0), threshold_rate(o[SAE_OPT_THRESHOLD_RATE]),
      threshold_after(static_cast<int64_t>(o[SAE_OPT_THRESHOLD_AFTER])),
      threshold_from_first(o[SAE_OPT_THRESHOLD_FROM_FIRST] != 0), sparsity(static_cast<int>(o[SAE_OPT_SPARSITY])),
      sparsity_coefficient(o[SAE_OPT_SPARSITY_COEFFICIENT]),
      sparsity_warmup(static_cast<int64_t>(o[SAE_OPT_SPARSITY_WARMUP])), target_l0(o[SAE_OPT_TARGET_L0]),
      tanh_scale(o[SAE_OPT_TANH_SCALE]), weight_by_norm(o[SAE_OPT_WEIGHT_BY_NORM] != 0),
      bandwidth(static_cast<float>(o[SAE_OPT_BANDWIDTH])), ste_to_input(o[SAE_OPT_STE_TO_INPUT] != 0),
      gate_detach(o[SAE_OPT_GATE_DETACH] != 0), k_schedule(o), multi_topk(o[SAE_OPT_MULTI_TOPK]),
      optimizer(static_cast<int>(o[SAE_OPT_OPTIMIZER])), rank_by_norm(o[SAE_OPT_RANK_BY_NORM] != 0),
      aux_by_prefix(o[SAE_OPT_AUX_BY_PREFIX] != 0), aux_signed(o[SAE_OPT_AUX_SIGNED] != 0) {
    const auto count = static_cast<int>(o[SAE_OPT_PREFIXES]);
    for (int i = 0; i < count; i++) {
        prefixes.push_back(static_cast<int64_t>(o[SAE_OPT_PREFIX_LATENTS + i]));
        prefix_weights.push_back(o[SAE_OPT_PREFIX_WEIGHT + i]);
    }
    if (count == 0) {
        prefixes.push_back(d_sae);
        prefix_weights.push_back(1);
    }
}

void require_countable(int64_t entries, const char *what) {
    if (entries > kMostEntries) {
        fail(SAE_OUT_OF_MEMORY, std::string("expected at most 2147483647 ") + what + " in a batch, got " +
                                    std::to_string(entries) + "; train it in parts");
    }
}

Trainer::Trainer(Params &of, const double *option_values)
    : params(of), context(of.context), options(option_values, of.d_sae), idle_batches(of.d_sae), idle_rows(of.d_sae) {
    for (int tensor = 0; tensor <= SAE_W_SKIP && options.gradients != SAE_GRADIENTS_ONLY; tensor++) {
        if (tensor == SAE_THRESHOLD && !trains_threshold()) {
            continue;
        }
        const int64_t size = params.tensors[tensor].size();
        const bool muons =
            options.optimizer == SAE_MUON && (tensor == SAE_W_ENC || tensor == SAE_W_DEC || tensor == SAE_W_SKIP);
        first[tensor] = Block<float>(size);
        if (muons) {
            muon.momentum[tensor] = Block<float>(size);
        } else if (options.optimizer != SAE_SIGNUM) {
            second[tensor] = Block<float>(size);
        }
    }
    if (options.gradients != SAE_GRADIENTS_NONE) {
        pending.encoder = Block<float>(params.d_sae * params.d_in);
        pending.decoder = Block<float>(params.d_sae * params.d_out);
        pending.bias = Block<float>(params.d_sae);
        pending.skip = Block<float>(params.tensors[SAE_W_SKIP].size());
        pending.own = Block<float>(params.d_sae * static_cast<int64_t>(own_tensors().size()));
    }
    batch.skip_grad.grow(params.tensors[SAE_W_SKIP].size());
    fired.resize(params.d_sae);
    batch.start.resize(params.d_sae + 1);
    batch.slot_of.resize(params.d_sae);
    batch.dead.reserve(params.d_sae);
}

int64_t Trainer::live_bytes() const {
    int64_t bytes = idle_batches.bytes() + idle_rows.bytes() + pending.encoder.bytes() + pending.decoder.bytes() +
                    pending.bias.bytes() + pending.own.bytes() + pending.skip.bytes();
    for (int tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
        bytes += first[tensor].bytes() + second[tensor].bytes() + muon.momentum[tensor].bytes();
    }
    return bytes;
}

void Trainer::prepare(const float *x, const float *y, int64_t rows) {
    constexpr int64_t kRows = 64;
    const int64_t d = params.d_in;
    batch.x = x;
    batch.y = y;
    batch.rows = rows;
    batch.error.grow(rows * params.d_out *
                     (static_cast<int64_t>(options.prefixes.size()) + (gated() || multi() ? 1 : 0)));
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

int64_t Trainer::prefix_of(int64_t latent) const {
    return std::upper_bound(options.prefixes.begin(), options.prefixes.end(), latent) - options.prefixes.begin();
}

void Trainer::choose(int64_t rows) {
    const int64_t k = options.k_schedule.after(steps);
    int64_t room = rows * k;
    batch.index.grow(room);
    batch.value.grow(room);
    if (options.rule == SAE_THRESHOLD_RULE) {
        batch.k = 0;
        batch.offsets.grow(rows + 1);
        if (gated()) {
            list_open_gates(rows);
        } else {
            list_above_thresholds(rows);
        }
        room = batch.entries();
    } else if (options.rule == SAE_GROUP_MAX) {
        batch.k = k;
        encode_groups(params, batch.x, rows, k, batch.index.data(), batch.value.data());
    } else if (options.rule == SAE_TOPK) {
        batch.k = k;
        if (multi()) {
            choose_multi(rows, k);
        } else {
            encode_topk(context, ranking_encoder(), batch.input.data(), rows, k, batch.index.data(),
                        batch.value.data());
        }
    } else if (options.rule == SAE_ABS_TOPK) {
        batch.k = k;
        encode_abs(context, ranking_encoder(), batch.input.data(), rows, k, batch.index.data(), batch.value.data());
    } else {
        batch.k = 0;
        batch.offsets.grow(rows + 1);
        const int64_t entries = encode_batch(context, ranking_encoder(), batch.input.data(), rows, k,
                                             {batch.offsets.data(), batch.index.data(), batch.value.data(), k, room});
        require_countable(entries, "active latents");
    }
    unrank(batch.entries());
    batch.dense = is_dense();
    batch.dz.grow(room);
    const int64_t listed = batch.dense ? 0 : room;
    batch.row_of.grow(listed);
    batch.value_of.grow(listed);
    batch.dz_of.grow(listed);
}

Sums Trainer::differentiate(const float *x, const float *y, int64_t rows, int64_t pending_rows, double weight) {
    require_finite(context, x, rows, params.d_in);
    if (y != x) {
        require_finite(context, y, rows, params.d_out);
    }
    prepare(x, y, rows);
    batch.weight = weight;
    choose(rows);
    find_dead(pending_rows);
    Sums sums = forward_and_backward();
    if (skips()) {
        backward_skip();
    }
    group_by_latent();
    return sums;
}

void Trainer::learn_threshold(double least) {
    if (options.rule != SAE_BATCH_TOPK || options.threshold_rate == 0 || steps < options.threshold_after ||
        !std::isfinite(least)) {
        return;
    }
    const bool starts = learned_threshold < 0;
    const double from = !starts ? learned_threshold : options.threshold_from_first ? least : 0;
    learned_threshold = from + options.threshold_rate * (least - from);
}

void Trainer::finish(const Sums &sums, bool from_pending, int64_t rows, double weight, double lr) {
    const int64_t dead = count_idle(rows);
    learn_threshold(sums.least);
    const double norm = update(sums, from_pending, weight, lr);
    stats[SAE_STAT_RECONSTRUCTION] = sums.reconstruction / weight;
    stats[SAE_STAT_AUX] = sums.aux / weight;
    stats[SAE_STAT_SPARSITY] = sums.sparsity / weight;
    stats[SAE_STAT_LOSS] = stats[SAE_STAT_RECONSTRUCTION] + stats[SAE_STAT_AUX] + stats[SAE_STAT_SPARSITY];
    stats[SAE_STAT_L0] = static_cast<double>(sums.active) / static_cast<double>(rows);
    stats[SAE_STAT_DEAD] = static_cast<double>(dead);
    stats[SAE_STAT_FVU] = sums.variance == 0 ? 0 : sums.error / sums.variance;
    stats[SAE_STAT_GRADIENT_NORM] = norm;
}

void Trainer::step(const float *x, const float *y, int64_t rows, double lr) {
    finish(differentiate(x, y, rows, 0, 1), false, rows, 1, lr);
}

} // namespace sae::cpu
