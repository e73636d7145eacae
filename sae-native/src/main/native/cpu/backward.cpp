/*
 * backward.cpp: for each row e = x_hat - y, r = z_aux W_dec + e, and
 *
 *   L = s sum e^2 + a sum r^2        (s, a: losses.cpp; both times the batch's weight)
 *   dL/dx_hat = 2 s e [+ 2 a r]      (the second term unless AUX_DETACH)
 *   dL/dz_j   = <dL/dx_hat, W_dec[j]> where z_j > 0
 *
 * With SAE_SKIP, x_hat has the term x W_skip^T, and dW_skip = sum over rows of dL/dx_hat (x) x.
 *
 *   FLOPs 4 rows k d_out; with SAE_SKIP 4 rows d_in d_out more. Without dead latents a row goes from decode to dL/dz while its k rows of W_dec are in L1 or
 *   L2; with them the scale a may depend on all rows, so there are two passes.
 * Deterministic: sums over rows are taken part by part in a fixed order.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kRows = 32;     /* rows per part without dead latents */
constexpr int64_t kAuxRows = 128; /* with dead latents or dense entries: the tile of a matrix product */

double norm(const Kernels &kernels, const float *x, int64_t n) { return std::sqrt(kernels.dot3(x, x, n).gg); }

} // namespace

int64_t Batch::positive(int64_t row) const {
    const int64_t most = size(row);
    if (k == 0) {
        return most;
    }
    int64_t count = 0;
    while (count < most && value[row * k + count] != 0) { /* they descend in size */
        count++;
    }
    return count;
}

void Sums::add(const Sums &other) {
    variance += other.variance;
    error += other.error;
    prefixes += other.prefixes;
    sparsity += other.sparsity;
    gate += other.gate;
    for (int level = 0; level < SAE_MOST_PREFIXES; level++) {
        residual[level] += other.residual[level];
    }
    active += other.active;
    reconstruction += other.reconstruction;
    aux += other.aux;
    least = std::min(least, other.least);
    gradient_bound += other.gradient_bound;
    for (size_t i = 0; i < other.d_b_dec.size(); i++) {
        d_b_dec[i] += other.d_b_dec[i];
    }
}

void Trainer::decode_rows(int64_t first, int64_t last, int worker, Sums &sums) {
    const int64_t d = params.d_out;
    if (skips()) {
        for (int64_t row = first; row < last; row++) {
            std::copy_n(params.b_dec(), d, error_of(0, row));
        }
        context.multiply({last - first, d, params.d_in, batch.x + first * params.d_in, params.d_in, 1,
                          params.tensors[SAE_W_SKIP].data(), 1, params.d_in, error_of(0, first), d, true},
                         worker);
    }
    for (int64_t row = first; row < last; row++) {
        const int64_t at = batch.begin(row);
        const int64_t count = batch.positive(row);
        const int32_t *index = &batch.index[at];
        int64_t from = 0;
        if (!skips()) {
            std::copy_n(params.b_dec(), d, error_of(0, row));
        }
        for (int64_t prefix = 0; prefix <= last_prefix(); prefix++) {
            float *error = error_of(prefix, row);
            const int64_t to = prefix == last_prefix()
                                   ? count
                                   : std::lower_bound(index + from, index + count, options.prefixes[prefix]) - index;
            context.kernels.gather(error, d, params.w_dec(), index + from, &batch.value[at + from], to - from);
            if (prefix < last_prefix()) {
                std::copy_n(error, d, error_of(prefix + 1, row));
                sums.prefixes += options.prefix_weights[prefix] * context.kernels.subtract(error, batch.y + row * d, d);
            } else {
                sums.error += context.kernels.subtract(error, batch.y + row * d, d);
            }
            from = to;
        }
        if (batch.k > 0) {
            sums.active += count;
            if (multi()) {
                decode_multi(row, sums);
            }
            continue;
        }
        if (gated()) {
            decode_gates(row, sums);
        }
        for (int64_t i = at; i < at + count; i++) {
            if (batch.value[i] > 0) {
                sums.active++;
                sums.least = std::min(sums.least, batch.rank_of(i));
            }
        }
    }
}

void Trainer::backward_rows(int64_t first, int64_t last, double error_scale, const std::vector<double> &aux_scales,
                            Sums &sums) {
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_out;
    for (int64_t row = first; row < last; row++) {
        const float *residual = nullptr;
        for (size_t level = 0; level < aux_scales.size(); level++) {
            kernels.scale(residual_of(level, row), static_cast<float>(2 * aux_scales[level]), d);
            residual = options.aux_detach ? nullptr : residual_of(level, row); /* not detached: there is one level */
        }
        const int64_t at = batch.begin(row);
        const int64_t k = batch.size(row);
        const int32_t *index = &batch.index[at];
        const float *values = &batch.value[at];
        float *dz = &batch.dz[at];
        const int64_t count = batch.positive(row);
        double squares = 0;
        for (int64_t prefix = last_prefix(), end = count; prefix >= 0; prefix--) {
            float *error = error_of(prefix, row);
            const float scale = static_cast<float>(error_scale * options.prefix_weights[prefix]);
            if (prefix == last_prefix()) {
                squares = kernels.combine(error, scale, residual, 1, d);
            } else { /* a latent takes part in its own prefix and in all longer ones */
                squares = std::max(squares, kernels.combine(error, scale, error_of(prefix + 1, row), 1, d));
            }
            const int64_t begin =
                prefix == 0 ? 0 : std::lower_bound(index, index + end, options.prefixes[prefix - 1]) - index;
            kernels.dots(error, d, params.w_dec(), index + begin, dz + begin, end - begin);
            end = begin;
        }
        kernels.axpy(sums.d_b_dec.data(), 1, error_of(0, row), d);
        std::fill(dz + count, dz + k, 0.0f);
        if (multi()) {
            backward_multi(row, error_scale, sums);
        }
        if (options.rule == SAE_THRESHOLD_RULE) {
            if (gated()) {
                backward_gates(row, error_scale, sums);
            } else {
                penalise(row, sums);
            }
            continue;
        }
        /* |dz|_1 <= sqrt(k) |dz|: b_dec also gets sum dz_j W_enc[j], b_enc gets dz, W_enc gets dz (x) input */
        const double through_encoder = std::sqrt(static_cast<double>(k)) * params.longest_encoder_row + 1;
        sums.gradient_bound += std::sqrt(squares) * (norm(kernels, values, k) + 1) +
                               norm(kernels, dz, k) * (batch.input_norm[row] + through_encoder);
    }
}

void Trainer::backward_skip() {
    constexpr int64_t kOutputs = 32;
    const int64_t d_in = params.d_in;
    const int64_t d_out = params.d_out;
    for_ranges(context, d_out, kOutputs, [&](int64_t first, int64_t last, int64_t, int worker) {
        context.multiply({last - first, d_in, batch.rows, error_of(0, 0) + first, 1, d_out, batch.x, d_in, 1,
                          &batch.skip_grad[first * d_in], d_in, false},
                         worker);
    });
}

Sums Trainer::forward_and_backward() {
    /* rows per part */
    const int64_t size = batch.aux || batch.dense ? kAuxRows : kRows;
    Sums zero;
    zero.d_b_dec.resize(params.d_out);
    std::vector<Sums> parts(context.parts(batch.rows, size), zero);
    Sums total = zero;
    total.variance = squares_about_mean(context, batch.y, batch.rows, params.d_out);
    const double error_scale = 2 * loss_scale(total);
    if (options.rule == SAE_THRESHOLD_RULE) {
        prepare_penalty();
    }
    const auto backward = [&](int64_t first, int64_t last, int worker, const std::vector<double> &aux_scales,
                              Sums &sums) {
        if (batch.dense) { /* without prefixes: at most one level */
            backward_densely(first, last, worker, error_scale, aux_scales.empty() ? 0 : 2 * aux_scales[0], sums);
        } else {
            backward_rows(first, last, error_scale, aux_scales, sums);
        }
    };
    for_ranges(context, batch.rows, size, [&](int64_t first, int64_t last, int64_t part, int worker) {
        if (batch.dense) {
            decode_densely(first, last, worker, parts[part]);
        } else {
            decode_rows(first, last, worker, parts[part]);
        }
        if (batch.aux) {
            decode_dead(first, last, worker, parts[part]);
        } else {
            backward(first, last, worker, {}, parts[part]);
        }
    });
    std::vector<double> scales;
    if (batch.aux) {
        for (const Batch::Level &level : batch.levels) {
            scales.push_back(aux_scale(total, level));
        }
        for_ranges(context, batch.rows, size, [&](int64_t first, int64_t last, int64_t part, int worker) {
            backward(first, last, worker, scales, parts[part]);
        });
        total.gradient_bound += backward_dead();
    }
    for (const Sums &part : parts) {
        total.add(part);
    }
    total.reconstruction = loss_scale(total) * (options.weight() * total.error + total.prefixes);
    total.aux = gated() ? loss_scale(total) * total.gate : 0;
    for (size_t level = 0; level < scales.size(); level++) {
        total.aux += scales[level] * total.residual[level];
    }
    return total;
}

} // namespace sae::cpu
