/*
 * adam.cpp: from dL/dz to updated weights, in one sweep over the latents. With other optimisers, optimizer.cpp's step is in
 * the place of Adam's.
 *
 *   dW_dec[j] = sum over the rows where j was chosen of z dL/dx_hat      (or the dead latent's sum, dead.cpp)
 *   dW_enc[j] = sum of dz (x - b_dec);  db_enc[j] = sum of dz;  db_dec = sum dL/dx_hat - sum_j db_enc[j] W_enc[j]
 *   clip; rows of W_dec to norm 1; dW_dec[j] -= <dW_dec[j], w> w / |w|^2; torch.optim.Adam; rows to norm 1 if set to
 *   follow the step.
 *
 * A latent's two gradient rows live in L1 only: summed, used, overwritten by the next latent's. Each weight moves 24
 * bytes (w, m, v read and written); rows without a gradient are updated too, as in Adam.
 *
 * Clipping needs the norm of all gradients before the first weight changes. Triangle inequalities over the rows give an
 * upper bound on it (backward.cpp); while that is below the clip norm, the factor is exactly 1, the norm is only a
 * statistic and one sweep does everything. Otherwise a first sweep measures the norm and a second one repeats the sums
 * and updates. Storing the gradients instead would cost 8 bytes per weight in every step.
 *
 * Deterministic: sums over latents are taken part by part in a fixed order.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kLatents = 32;
constexpr double kRounding = 1.01; /* of float sums, generously */

float inverse_norm(double squares) { return squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 1; }

} // namespace

double longest_row(Context &context, const float *matrix, int64_t rows, int64_t columns) {
    double longest = 0;
    for (int64_t row = 0; row < rows; row++) {
        longest = std::max(longest, context.kernels.dot3(matrix + row * columns, matrix + row * columns, columns).gg);
    }
    return std::sqrt(longest) * kRounding;
}

/* What a sweep does, and its results. */
struct Trainer::Sweep {
    bool from_pending; /* gradients come from accumulate.cpp; otherwise they are summed from the batch */
    bool update;
    float clip; /* over the weight */
    Descent step;
    std::vector<float> d_b_enc;          /* [d_sae] */
    std::vector<float> d_b_dec;          /* [d_out] */
    const Block<float> *skip;            /* [d_out, d_in]; empty without SAE_SKIP */
    std::vector<std::vector<float>> own; /* by own_tensors(): [d_sae] */
    double squares = 0;                  /* of all gradients */
    double longest_encoder_row = 0;
};

void Trainer::update_decoder_row(int64_t latent, const float *gradient, const Sweep &sweep) {
    const int64_t d = params.d_out;
    float *w = params.w_dec() + latent * d;
    const Dots dots = context.kernels.dot3(gradient, w, d);
    const float scale = options.decoder_norm == SAE_DECODER_NORM_BEFORE_STEP ? inverse_norm(dots.ww) : 1;
    const float along =
        options.project_gradient && dots.ww > 0 ? static_cast<float>(sweep.clip * dots.gw / (dots.ww * scale)) : 0;
    const double squares = descend(SAE_W_DEC, latent * d, gradient, sweep.clip, scale, along, d, sweep.step);
    if (options.decoder_norm == SAE_DECODER_NORM_AFTER_STEP && options.optimizer != SAE_MUON) {
        context.kernels.scale(w, inverse_norm(squares), d);
    }
}

double Trainer::decoder_squares(int64_t latent, const float *gradient) const {
    const int64_t d = params.d_out;
    if (!options.clip_projected || !options.project_gradient) {
        return context.kernels.dot3(gradient, gradient, d).gg;
    }
    const Dots dots = context.kernels.dot3(gradient, params.w_dec() + latent * d, d);
    return dots.ww > 0 ? std::max(0.0, dots.gg - dots.gw * dots.gw / dots.ww) : dots.gg;
}

void Trainer::add_norm_gradient(int64_t latent, float *decoder) const {
    if (!batch.norms.empty() && batch.norms[latent] > 0) {
        const double along = batch.norm_grad[latent] / batch.norms[latent];
        context.kernels.axpy(decoder, static_cast<float>(along), params.w_dec() + latent * params.d_out, params.d_out);
    }
}

LatentGradient Trainer::batch_gradient(int64_t latent, float *scratch) const {
    if (batch.dense) {
        return dense_gradient(latent);
    }
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int32_t slot = batch.aux ? batch.slot_of[latent] : -1;
    const int64_t from = batch.start[latent];
    const int64_t count = batch.start[latent + 1] - from;
    if (slot >= 0 && count == 0) {
        return {&batch.dead_enc_grad[slot * d], &batch.dead_dec_grad[slot * d_out], batch.dead_sum[slot]};
    }
    float bias = 0;
    if (slot >= 0) { /* within the bandwidth of its threshold */
        std::copy_n(&batch.dead_enc_grad[slot * d], d, scratch);
        std::copy_n(&batch.dead_dec_grad[slot * d_out], d_out, scratch + d);
        bias = batch.dead_sum[slot];
    } else {
        std::fill_n(scratch, d + d_out, 0.0f);
    }
    kernels.gather(scratch, d, batch.input.data(), &batch.row_of[from], &batch.dz_of[from], count);
    if (!options.freeze_decoder) {
        const float *error = error_of(prefix_of(latent), 0);
        kernels.gather(scratch + d, d_out, error, &batch.row_of[from], &batch.value_of[from], count);
        if (gated() && !options.gate_detach) {
            kernels.gather(scratch + d, d_out, error_of(1, 0), &batch.row_of[from], &batch.gate_of[from], count);
        }
        if (multi()) {
            add_multi_gradient(latent, scratch + d);
        }
        add_norm_gradient(latent, scratch + d);
    }
    for (int64_t i = from; i < from + count; i++) {
        bias += batch.dz_of[i];
    }
    return {scratch, scratch + d, bias};
}

std::vector<float> Trainer::own_gradient(size_t i, bool from_pending) const {
    const float *kept = pending.own.data() + (from_pending ? i * params.d_sae : 0);
    return from_pending ? std::vector<float>(kept, kept + params.d_sae)
                        : std::vector<float>(batch.own_grad[i].begin(), batch.own_grad[i].end());
}

LatentGradient Trainer::pending_gradient(int64_t latent) const {
    return {&pending.encoder[latent * params.d_in], &pending.decoder[latent * params.d_out], pending.bias[latent]};
}

void Trainer::sweep_latents(Sweep &sweep) {
    struct Part {
        double squares = 0;
        double longest = 0;
        std::vector<float> d_b_dec;
    };
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    std::vector<Part> parts(context.parts(params.d_sae, kLatents));
    for_ranges(context, params.d_sae, kLatents, [&](int64_t begin, int64_t end, int64_t at, int worker) {
        Part &part = parts[at];
        part.d_b_dec.resize(d);
        Block<float> &scratch = context.scratch[worker];
        scratch.grow(d + params.d_out);
        for (int64_t latent = begin; latent < end; latent++) {
            const LatentGradient gradient =
                sweep.from_pending ? pending_gradient(latent) : batch_gradient(latent, scratch.data());
            float *w_enc = params.w_enc() + latent * d;
            sweep.d_b_enc[latent] = gradient.bias;
            if (params.shift() != nullptr && gradient.bias != 0) {
                kernels.axpy(part.d_b_dec.data(), -gradient.bias, w_enc, d);
            }
            part.squares += kernels.dot3(gradient.encoder, gradient.encoder, d).gg;
            if (!options.freeze_decoder) {
                part.squares += decoder_squares(latent, gradient.decoder);
            }
            if (!sweep.update) {
                continue;
            }
            part.longest = std::max(part.longest,
                                    descend(SAE_W_ENC, latent * d, gradient.encoder, sweep.clip, 1, 0, d, sweep.step));
            if (!options.freeze_decoder) {
                update_decoder_row(latent, gradient.decoder, sweep);
            }
        }
    });
    for (const Part &part : parts) {
        sweep.squares += part.squares;
        sweep.longest_encoder_row = std::max(sweep.longest_encoder_row, std::sqrt(part.longest) * kRounding);
        if (params.shift() != nullptr) {
            kernels.axpy(sweep.d_b_dec.data(), 1, part.d_b_dec.data(), d);
        }
    }
    sweep.squares += kernels.dot3(sweep.d_b_dec.data(), sweep.d_b_dec.data(), params.d_out).gg;
    sweep.squares += kernels.dot3(sweep.skip->data(), sweep.skip->data(), sweep.skip->size()).gg;
    if (gated()) { /* so far what b_dec subtracts: the product's; the bias is only the gate's */
        sweep.d_b_enc = sweep.own[0];
    }
    if (options.train_b_enc) {
        sweep.squares += kernels.dot3(sweep.d_b_enc.data(), sweep.d_b_enc.data(), params.d_sae).gg;
    }
    for (size_t i = gated() ? 1 : 0; i < sweep.own.size(); i++) {
        sweep.squares += kernels.dot3(sweep.own[i].data(), sweep.own[i].data(), params.d_sae).gg;
    }
}

double Trainer::update(const Sums &sums, bool from_pending, double weight, double lr) {
    const Kernels &kernels = context.kernels;
    const Block<float> &skip = from_pending ? pending.skip : batch.skip_grad;
    const double skip_norm = std::sqrt(kernels.dot3(skip.data(), skip.data(), skip.size()).gg);
    const bool surely_unclipped =
        options.clip_norm == 0 || (sums.gradient_bound + skip_norm) / weight * kRounding + 1e-6 <= options.clip_norm;
    Sweep sweep = {from_pending,
                   surely_unclipped,
                   static_cast<float>(1 / weight),
                   descent(lr),
                   std::vector<float>(params.d_sae),
                   sums.d_b_dec,
                   &skip,
                   {}};
    const std::vector<int> tensors = own_tensors();
    for (size_t i = 0; i < tensors.size(); i++) {
        sweep.own.push_back(own_gradient(i, from_pending));
    }
    start_averaging(sweep.step, lr);
    sweep_latents(sweep);
    const double norm = options.clip_norm == 0 ? 0 : std::sqrt(sweep.squares) / weight;
    if (!surely_unclipped) {
        /* torch.nn.utils.clip_grad_norm_ */
        const double factor = std::min(1.0, options.clip_norm / (norm + 1e-6));
        sweep.update = true;
        sweep.clip = static_cast<float>(factor / weight);
        sweep.d_b_dec = sums.d_b_dec;
        sweep_latents(sweep);
    }
    descend(SAE_B_DEC, 0, sweep.d_b_dec.data(), sweep.clip, 1, 0, params.d_out, sweep.step);
    descend(SAE_W_SKIP, 0, skip.data(), sweep.clip, 1, 0, params.tensors[SAE_W_SKIP].size(), sweep.step);
    if (options.train_b_enc) {
        descend(SAE_B_ENC, 0, sweep.d_b_enc.data(), sweep.clip, 1, 0, params.d_sae, sweep.step);
    }
    for (size_t i = gated() ? 1 : 0; i < tensors.size(); i++) {
        descend(tensors[i], 0, sweep.own[i].data(), sweep.clip, 1, 0, params.d_sae, sweep.step);
    }
    if (options.optimizer == SAE_MUON) {
        finish_muon(lr, sweep.longest_encoder_row);
    }
    params.encoder_changed(sweep.longest_encoder_row);
    if (trains_threshold()) {
        float *threshold = params.tensors[SAE_THRESHOLD].data();
        std::transform(threshold, threshold + params.d_sae, threshold, [](float t) { return std::max(t, 0.0f); });
    }
    steps++;
    return norm;
}

} // namespace sae::cpu
