/*
 * dead.cpp: the auxiliary loss, over the latents that have not fired for a while.
 *
 *   z_aux = keep the min(AUX_K, n_dead) largest of ReLU(z_pre) over the dead latents;  r = z_aux W_dec - (y - x_hat)
 *   dW_dec = z_aux^T dr;  dz_aux = dr W_dec^T where z_aux != 0;  dW_enc = dz_aux^T (x - b_dec)
 *
 * With AUX_SIGNED or SAE_ABS_TOPK of z_pre itself. With AUX_BY_PREFIX all of this by prefix, a level each: r of its own dead
 * latents and of what it decodes to (SAELens 6.54, matryoshka_batchtopk_sae.py).
 *
 * The dead latents' rows are copied together and all five products are dense, FLOPs 10 rows n_dead d (d_in or d_out): when
 * n_dead <= AUX_K nothing is left out, and up to a few times AUX_K gathers do not win. Beyond that, dead_sparse.cpp.
 * Deterministic: dense products in fixed tiles.
 */
#include <cmath>
#include <numeric>

#include "selection.h"
#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 128;
constexpr int64_t kTileLatents = 64;

} // namespace

bool Trainer::is_dead(int64_t batches, int64_t rows) const {
    return (options.dead_after_batches > 0 && batches >= options.dead_after_batches) ||
           (options.dead_after_rows > 0 && rows >= options.dead_after_rows);
}

void Trainer::find_dead(int64_t pending_rows) {
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int64_t rows = pending_rows + batch.rows; /* of the batch, if it ended here */
    if (pending_rows == 0) {
        std::fill(fired.begin(), fired.end(), 0);
    }
    for (int64_t i = 0; i < batch.entries(); i++) {
        if (batch.value[i] != 0) {
            fired[batch.index[i]] = 1;
        }
    }
    for (int64_t i = 0; multi() && i < batch.rows * batch.multi.k; i++) {
        if (batch.multi.value[i] > 0) {
            fired[batch.multi.index[i]] = 1;
        }
    }
    batch.dead.clear();
    for (int64_t latent = 0; latent < params.d_sae; latent++) {
        batch.slot_of[latent] = -1;
        if (fired[latent] == 0 && is_dead(idle_batches[latent] + 1, idle_rows[latent] + rows)) {
            batch.slot_of[latent] = static_cast<int32_t>(batch.dead.size());
            batch.dead.push_back(static_cast<int32_t>(latent));
        }
    }
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    batch.aux = options.aux_coefficient > 0 && dead > 0;
    if (batch.aux) {
        batch.levels.clear();
        for (int64_t prefix = options.aux_by_prefix ? 0 : last_prefix(), from = 0; prefix <= last_prefix(); prefix++) {
            const int64_t to =
                std::lower_bound(batch.dead.begin(), batch.dead.end(), options.prefixes[prefix]) - batch.dead.begin();
            if (to > from) {
                batch.levels.push_back({from, to, prefix});
            }
            from = to;
        }
        for (Block<float> *rows : {&batch.dead_enc, &batch.dead_enc_grad}) {
            rows->grow(dead * d);
        }
        for (Block<float> *rows : {&batch.dead_dec, &batch.dead_dec_grad}) {
            rows->grow(dead * d_out);
        }
        batch.dead_bias.resize(dead);
        batch.dead_sum.resize(dead);
        batch.residual.grow(static_cast<int64_t>(batch.levels.size()) * batch.rows * d_out);
        for (int64_t slot = 0; slot < dead; slot++) {
            std::copy_n(params.w_enc() + batch.dead[slot] * d, d, &batch.dead_enc[slot * d]);
            std::copy_n(params.w_dec() + batch.dead[slot] * d_out, d_out, &batch.dead_dec[slot * d_out]);
            batch.dead_bias[slot] = params.b_enc()[batch.dead[slot]];
        }
        if (few_of_dead()) {
            choose_dead();
        } else {
            batch.z_aux.grow(batch.rows * dead);
        }
    }
}

int64_t Trainer::count_idle(int64_t rows) {
    int64_t dead = 0;
    for (int64_t latent = 0; latent < params.d_sae; latent++) {
        idle_batches[latent] = fired[latent] != 0 ? 0 : idle_batches[latent] + 1;
        idle_rows[latent] = fired[latent] != 0 ? 0 : idle_rows[latent] + rows;
        dead += is_dead(idle_batches[latent], idle_rows[latent]);
    }
    return dead;
}

void Trainer::keep_largest(float *z, const Batch::Level &level, Selection &selection) const {
    const int64_t n = level.last - level.first;
    float *p = z + level.first;
    const auto rank = [&](int64_t i) { return batch.rank.empty() ? 1.0f : batch.rank[batch.dead[level.first + i]]; };
    if (!options.aux_keeps_signs()) {
        std::transform(p, p + n, p, [](float value) { return value > 0 ? value : 0; });
    }
    if (n <= options.aux_k) {
        return;
    }
    if (!options.aux_keeps_signs()) {
        for (int64_t i = 0; i < n; i++) {
            p[i] *= rank(i);
        }
        selection.reset();
        selection.add(p, n, 0);
        const int64_t chosen = selection.finish();
        std::fill_n(p, n, 0.0f);
        for (int64_t i = 0; i < chosen; i++) {
            const int32_t at = key_index(selection.keys()[i]);
            p[at] = key_value(selection.keys()[i]) / rank(at);
        }
        return;
    }
    std::vector<float> size(n);
    for (int64_t i = 0; i < n; i++) {
        size[i] = (options.rule == SAE_ABS_TOPK ? std::abs(p[i]) : p[i]) * rank(i);
    }
    std::vector<int32_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::nth_element(order.begin(), order.begin() + options.aux_k, order.end(), [&](int32_t one, int32_t other) {
        return size[one] != size[other] ? size[one] > size[other] : one < other;
    });
    std::for_each(order.begin() + options.aux_k, order.end(), [&](int32_t i) { p[i] = 0; });
}

void Trainer::decode_dead(int64_t first, int64_t last, int worker, Sums &sums) {
    if (few_of_dead()) {
        sums.residual[0] += decode_few_dead(first, last);
        return;
    }
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    const int64_t rows = last - first;
    float *z = &batch.z_aux[first * dead];
    context.multiply({rows, dead, d, batch.input.data() + first * d, d, 1, batch.dead_enc.data(), 1, d, z, dead, false},
                     worker);
    for (int64_t row = 0; row < rows; row++) {
        kernels.axpy(z + row * dead, 1, batch.dead_bias.data(), dead);
    }
    for (size_t at = 0; at < batch.levels.size(); at++) {
        const Batch::Level &level = batch.levels[at];
        const int64_t count = level.last - level.first;
        Selection selection(kernels, std::min(options.aux_k, count), count);
        for (int64_t row = 0; row < rows; row++) {
            keep_largest(z + row * dead, level, selection);
        }
        float *residual = residual_of(at, first);
        std::copy_n(error_of(level.prefix, first), rows * d_out, residual);
        context.multiply({rows, d_out, count, z + level.first, dead, 1, &batch.dead_dec[level.first * d_out], d_out, 1,
                          residual, d_out, true},
                         worker);
        for (int64_t row = 0; row < rows; row++) {
            sums.residual[at] += kernels.dot3(residual + row * d_out, residual + row * d_out, d_out).gg;
        }
    }
}

double Trainer::backward_dead() {
    if (few_of_dead()) {
        return backward_few_dead();
    }
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int64_t rows = batch.rows;
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    const auto transposed_product = [&](int64_t from, int64_t to, const float *of, int64_t width,
                                        Block<float> &result) {
        for_ranges(context, to - from, kTileLatents, [&](int64_t first, int64_t last, int64_t, int worker) {
            context.multiply({last - first, width, rows, batch.z_aux.data() + from + first, 1, dead, of, width, 1,
                              &result[(from + first) * width], width, false},
                             worker);
        });
    };
    for (size_t at = 0; at < batch.levels.size() && !options.freeze_decoder; at++) {
        transposed_product(batch.levels[at].first, batch.levels[at].last, residual_of(at, 0), d_out,
                           batch.dead_dec_grad);
    }
    const double through_encoder = std::sqrt(static_cast<double>(dead)) * params.longest_encoder_row + 1;
    std::vector<double> bounds(context.parts(rows, kTileRows));
    for_ranges(context, rows, kTileRows, [&](int64_t first, int64_t last, int64_t part, int worker) {
        Block<float> &tile = context.scratch[worker];
        tile.grow(kTileRows * dead);
        for (size_t at = 0; at < batch.levels.size(); at++) {
            const Batch::Level &level = batch.levels[at];
            context.multiply({last - first, level.last - level.first, d_out, residual_of(at, first), d_out, 1,
                              &batch.dead_dec[level.first * d_out], 1, d_out, tile.data() + level.first, dead, false},
                             worker);
        }
        for (int64_t row = first; row < last; row++) {
            float *z = &batch.z_aux[row * dead];
            const float *dz = tile.data() + (row - first) * dead;
            const double z_norm = std::sqrt(kernels.dot3(z, z, dead).gg);
            std::transform(z, z + dead, dz, z, [](float value, float slope) { return value != 0 ? slope : 0; });
            const double dz_norm = std::sqrt(kernels.dot3(z, z, dead).gg);
            bounds[part] += dz_norm * (batch.input_norm[row] + through_encoder);
            for (size_t at = 0; at < batch.levels.size(); at++) {
                const float *residual = residual_of(at, row);
                bounds[part] += std::sqrt(kernels.dot3(residual, residual, d_out).gg) * z_norm;
            }
        }
    });
    transposed_product(0, dead, batch.input.data(), d, batch.dead_enc_grad);
    std::fill(batch.dead_sum.begin(), batch.dead_sum.end(), 0.0f);
    for (int64_t row = 0; row < rows; row++) {
        kernels.axpy(batch.dead_sum.data(), 1, &batch.z_aux[row * dead], dead);
    }
    double bound = 0;
    for (const double part : bounds) {
        bound += part;
    }
    return bound;
}

} // namespace sae::cpu
