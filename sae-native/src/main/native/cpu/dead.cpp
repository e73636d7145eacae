/*
 * dead.cpp: the auxiliary loss, over the latents that have not fired for a while.
 *
 *   z_aux = keep the min(AUX_K, n_dead) largest of ReLU(z_pre) over the dead latents;  r = z_aux W_dec - (y - x_hat)
 *   dW_dec = z_aux^T dr;  dz_aux = dr W_dec^T where z_aux > 0;  dW_enc = dz_aux^T (x - b_dec)
 *
 * The dead latents' rows are copied together and all five products are dense, FLOPs 10 rows n_dead d (d_in or d_out): when
 * n_dead <= AUX_K nothing is left out, and up to a few times AUX_K gathers do not win. Beyond that, dead_sparse.cpp.
 * Deterministic: dense products in fixed tiles.
 */
#include <cmath>

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
        if (batch.value[i] > 0) {
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
        for (Block<float> *rows : {&batch.dead_enc, &batch.dead_enc_grad}) {
            rows->grow(dead * d);
        }
        for (Block<float> *rows : {&batch.dead_dec, &batch.dead_dec_grad}) {
            rows->grow(dead * d_out);
        }
        batch.dead_bias.resize(dead);
        batch.dead_sum.resize(dead);
        batch.residual.grow(batch.rows * d_out);
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

double Trainer::decode_dead(int64_t first, int64_t last, int worker) {
    if (few_of_dead()) {
        return decode_few_dead(first, last);
    }
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    const int64_t rows = last - first;
    float *z = &batch.z_aux[first * dead];
    context.multiply({rows, dead, d, batch.input.data() + first * d, d, 1, batch.dead_enc.data(), 1, d, z, dead, false},
                     worker);
    Selection selection(kernels, std::min(options.aux_k, dead), dead);
    for (int64_t row = 0; row < rows; row++) {
        float *p = z + row * dead;
        kernels.axpy(p, 1, batch.dead_bias.data(), dead);
        if (dead <= options.aux_k) {
            std::transform(p, p + dead, p, [](float value) { return value > 0 ? value : 0; });
            continue;
        }
        selection.reset();
        selection.add(p, dead, 0);
        const int64_t chosen = selection.finish();
        std::fill_n(p, dead, 0.0f);
        for (int64_t i = 0; i < chosen; i++) {
            p[key_index(selection.keys()[i])] = key_value(selection.keys()[i]);
        }
    }
    float *residual = &batch.residual[first * d_out];
    std::copy_n(error_of(last_prefix(), first), rows * d_out, residual);
    context.multiply({rows, d_out, dead, z, dead, 1, batch.dead_dec.data(), d_out, 1, residual, d_out, true}, worker);
    double squares = 0;
    for (int64_t row = 0; row < rows; row++) {
        squares += kernels.dot3(residual + row * d_out, residual + row * d_out, d_out).gg;
    }
    return squares;
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
    const auto transposed_product = [&](const float *of, int64_t width, Block<float> &result) {
        for_ranges(context, dead, kTileLatents, [&](int64_t first, int64_t last, int64_t, int worker) {
            context.multiply({last - first, width, rows, batch.z_aux.data() + first, 1, dead, of, width, 1,
                              &result[first * width], width, false},
                             worker);
        });
    };
    if (!options.freeze_decoder) {
        transposed_product(batch.residual.data(), d_out, batch.dead_dec_grad);
    }
    const double through_encoder = std::sqrt(static_cast<double>(dead)) * params.longest_encoder_row + 1;
    std::vector<double> bounds(context.parts(rows, kTileRows));
    for_ranges(context, rows, kTileRows, [&](int64_t first, int64_t last, int64_t part, int worker) {
        Block<float> &tile = context.scratch[worker];
        tile.grow(kTileRows * dead);
        context.multiply({last - first, dead, d_out, &batch.residual[first * d_out], d_out, 1, batch.dead_dec.data(), 1,
                          d_out, tile.data(), dead, false},
                         worker);
        for (int64_t row = first; row < last; row++) {
            float *z = &batch.z_aux[row * dead];
            const float *dz = tile.data() + (row - first) * dead;
            const float *residual = &batch.residual[row * d_out];
            const double z_norm = std::sqrt(kernels.dot3(z, z, dead).gg);
            std::transform(z, z + dead, dz, z, [](float value, float slope) { return value > 0 ? slope : 0; });
            const double dz_norm = std::sqrt(kernels.dot3(z, z, dead).gg);
            bounds[part] += std::sqrt(kernels.dot3(residual, residual, d_out).gg) * z_norm +
                            dz_norm * (batch.input_norm[row] + through_encoder);
        }
    });
    transposed_product(batch.input.data(), d, batch.dead_enc_grad);
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
