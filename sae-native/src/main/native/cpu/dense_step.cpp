/*
 * dense_step.cpp: a step of SAE_THRESHOLD_RULE without gates whose rows are not sparse: a new ReLU SAE has half of its
 * latents active. Decoding, dL/dz and the weights' gradients are then dense products of the rows' entries, scattered tile
 * by tile, in the place of the gathers of backward.cpp and adam.cpp, and nothing is listed by latent (csc.cpp).
 *
 *   x_hat = Z W_dec;  dZ = G W_dec^T, read where there are entries;  dW_dec = Z^T G;  dW_enc = dZ^T input
 *
 * With E entries, B rows, m latents and d = d_in = d_out:
 *   gathers   8 d E FLOP, and 4 d E more where the norm is clipped, since the gradients are summed again. Every 2 FLOP
 *             read 4 bytes, from L2 or L3: W_dec (4 m d bytes) passes for every row, input and G (4 B d each) for every
 *             latent. 12 bytes an entry for the lists by latent, made by one thread
 *   products  8 d B m FLOP from blocks in L1 and L2; W_dec passes twice for every 128 rows, input and G for every 128
 *             latents; 8 d m bytes of gradients are written, and read by each sweep
 * Products cost 8 d B m at sgemm's rate, gathers 12 d E at theirs, so the density where they cost the same is 2/3 of the
 * ratio of the rates. Measured, CPU time of a step of 256 rows, d 768, m 6,144, one thread with
 * OpenBLAS, the least of 4 (other programs ran): gathers 0.17, 0.23 and 0.41 s at densities 0.08, 0.125 and 0.25,
 * products 0.31 s, so 0.18. More rows write the gradients less often, so the bound is a little lower, 1 / 6. It depends on
 * counts alone: threads and resumed runs choose alike.
 * Deterministic: products of fixed tiles, in the order of the rows or latents that they sum over.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kInverseDensity = 6; /* products where more than one of so many is an entry */
constexpr int64_t kTileLatents = 1536; /* of a product of 128 rows (backward.cpp) */
constexpr int64_t kLatents = 128;      /* of a product over all rows */

} // namespace

bool Trainer::is_dense() const {
    if (options.rule != SAE_THRESHOLD_RULE || gated()) {
        return false;
    }
    if (context.products != Products::kAuto) {
        return context.products == Products::kDense;
    }
    return batch.entries() * kInverseDensity > batch.rows * params.d_sae;
}

/* Calls put(row, entry, column) for the entries of rows [first, last) whose latents are in [latent, latent + count), where
 * next[row - first] is a row's first entry from `latent` on and moves behind them. */
template <typename Put>
void Trainer::for_entries(int64_t first, int64_t last, int64_t latent, int64_t count, std::vector<int64_t> &next,
                          const Put &put) const {
    for (int64_t row = first; row < last; row++) {
        int64_t &at = next[row - first];
        for (const int64_t end = batch.begin(row + 1); at < end && batch.index[at] < latent + count; at++) {
            put(row, at, batch.index[at] - latent);
        }
    }
}

std::vector<int64_t> Trainer::first_entries(int64_t first, int64_t last) const {
    std::vector<int64_t> entries;
    for (int64_t row = first; row < last; row++) {
        entries.push_back(batch.begin(row));
    }
    return entries;
}

void Trainer::decode_densely(int64_t first, int64_t last, int worker, Sums &sums) {
    const int64_t d = params.d_out;
    const int64_t rows = last - first;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    for (int64_t row = first; row < last; row++) {
        std::copy_n(params.b_dec(), d, error_of(0, row));
    }
    if (skips()) {
        context.multiply({rows, d, params.d_in, batch.x + first * params.d_in, params.d_in, 1,
                          params.tensors[SAE_W_SKIP].data(), 1, params.d_in, error_of(0, first), d, true},
                         worker);
    }
    Block<float> &tile = context.scratch[worker];
    tile.grow(rows * width);
    std::vector<int64_t> next = first_entries(first, last);
    for (int64_t latent = 0; latent < params.d_sae; latent += width) {
        const int64_t count = std::min(width, params.d_sae - latent);
        std::fill_n(tile.data(), rows * width, 0.0f);
        for_entries(first, last, latent, count, next, [&](int64_t row, int64_t at, int64_t column) {
            const float value = batch.value[at];
            tile[(row - first) * width + column] = value;
            if (value > 0) {
                sums.active++;
                sums.least = std::min<double>(sums.least, value);
            }
        });
        context.multiply(
            {rows, d, count, tile.data(), width, 1, params.w_dec() + latent * d, d, 1, error_of(0, first), d, true},
            worker);
    }
    for (int64_t row = first; row < last; row++) {
        sums.error += context.kernels.subtract(error_of(0, row), batch.y + row * d, d);
    }
}

void Trainer::backward_densely(int64_t first, int64_t last, int worker, double error_scale, double residual_scale,
                               Sums &sums) {
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_out;
    const int64_t rows = last - first;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    for (int64_t row = first; row < last; row++) {
        const float *residual = nullptr;
        if (batch.aux) {
            kernels.scale(&batch.residual[row * d], static_cast<float>(residual_scale), d);
            residual = options.aux_detach ? nullptr : &batch.residual[row * d];
        }
        kernels.combine(error_of(0, row), static_cast<float>(error_scale * options.weight()), residual, 1, d);
        kernels.axpy(sums.d_b_dec.data(), 1, error_of(0, row), d);
    }
    Block<float> &tile = context.scratch[worker];
    tile.grow(rows * width);
    std::vector<int64_t> next = first_entries(first, last);
    for (int64_t latent = 0; latent < params.d_sae; latent += width) {
        const int64_t count = std::min(width, params.d_sae - latent);
        context.multiply(
            {rows, count, d, error_of(0, first), d, 1, params.w_dec() + latent * d, 1, d, tile.data(), width, false},
            worker);
        for_entries(first, last, latent, count, next, [&](int64_t row, int64_t at, int64_t column) {
            batch.dz[at] = tile[(row - first) * width + column];
        });
    }
    for (int64_t row = first; row < last; row++) {
        penalise(row, sums);
    }
}

void Trainer::differentiate_densely() {
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int64_t rows = batch.rows;
    batch.dense_enc_grad.grow(params.d_sae * d);
    batch.dense_dec_grad.grow(options.freeze_decoder ? 0 : params.d_sae * d_out);
    batch.dense_sum.resize(params.d_sae);
    for_ranges(context, params.d_sae, kLatents, [&](int64_t begin, int64_t end, int64_t, int worker) {
        const int64_t count = end - begin;
        Block<float> &tiles = context.scratch[worker];
        tiles.grow(2 * rows * count);
        float *z = tiles.data();
        float *dz = z + rows * count;
        std::fill_n(z, 2 * rows * count, 0.0f);
        std::vector<int64_t> next = first_entries(0, rows);
        for (int64_t row = 0; row < rows; row++) {
            const int32_t *index = batch.index.data();
            next[row] = std::lower_bound(index + next[row], index + batch.begin(row + 1), begin) - index;
        }
        for_entries(0, rows, begin, count, next, [&](int64_t row, int64_t at, int64_t column) {
            z[row * count + column] = batch.value[at];
            dz[row * count + column] = batch.dz[at];
        });
        float *sum = &batch.dense_sum[begin];
        std::fill_n(sum, count, 0.0f);
        for (int64_t row = 0; row < rows; row++) {
            kernels.axpy(sum, 1, dz + row * count, count);
        }
        context.multiply(
            {count, d, rows, dz, 1, count, batch.input.data(), d, 1, &batch.dense_enc_grad[begin * d], d, false},
            worker);
        if (!options.freeze_decoder) {
            context.multiply({count, d_out, rows, z, 1, count, error_of(0, 0), d_out, 1,
                              &batch.dense_dec_grad[begin * d_out], d_out, false},
                             worker);
        }
        for (int64_t latent = begin; latent < end; latent++) {
            add_to_dense(latent);
        }
    });
}

/* What a latent's gradients have besides its entries': the dead latent's, and the norm's. */
void Trainer::add_to_dense(int64_t latent) {
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const int32_t slot = batch.aux ? batch.slot_of[latent] : -1;
    if (slot >= 0) {
        kernels.axpy(&batch.dense_enc_grad[latent * d], 1, &batch.dead_enc_grad[slot * d], d);
        batch.dense_sum[latent] += batch.dead_sum[slot];
    }
    if (options.freeze_decoder) {
        return;
    }
    float *decoder = &batch.dense_dec_grad[latent * d_out];
    if (slot >= 0) {
        kernels.axpy(decoder, 1, &batch.dead_dec_grad[slot * d_out], d_out);
    }
    add_norm_gradient(latent, decoder);
}

LatentGradient Trainer::dense_gradient(int64_t latent) const {
    return {&batch.dense_enc_grad[latent * params.d_in],
            options.freeze_decoder ? nullptr : &batch.dense_dec_grad[latent * params.d_out], batch.dense_sum[latent]};
}

} // namespace sae::cpu
