/*
 * backward.cpp: for each row e = x_hat - x, r = z_aux W_dec + e, and
 *
 *   L = s sum e^2 + a sum r^2        (s, a: losses.cpp; both times the batch's weight)
 *   dL/dx_hat = 2 s e [+ 2 a r]      (the second term unless AUX_DETACH)
 *   dL/dz_j   = <dL/dx_hat, W_dec[j]> where z_j > 0
 *
 *   FLOPs 4 rows k d_in. Without dead latents a row goes from decode to dL/dz while its k rows of W_dec are in L1 or
 *   L2; with them the scale a may depend on all rows, so there are two passes.
 * Deterministic: sums over rows are taken part by part in a fixed order.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kRows = 32;     /* rows per part without dead latents */
constexpr int64_t kAuxRows = 128; /* with dead latents: the tile of a matrix product */

int64_t positive(const float *values, int64_t k) {
    int64_t count = 0;
    while (count < k && values[count] > 0) { /* they descend */
        count++;
    }
    return count;
}

double norm(const Kernels &kernels, const float *x, int64_t n) { return std::sqrt(kernels.dot3(x, x, n).gg); }

} // namespace

void Sums::add(const Sums &other) {
    variance += other.variance;
    error += other.error;
    residual += other.residual;
    active += other.active;
    reconstruction += other.reconstruction;
    aux += other.aux;
    gradient_bound += other.gradient_bound;
    for (size_t i = 0; i < other.d_b_dec.size(); i++) {
        d_b_dec[i] += other.d_b_dec[i];
    }
}

void Trainer::decode_rows(int64_t first, int64_t last, Sums &sums) {
    const int64_t d = params.d_in;
    const int64_t k = options.k;
    for (int64_t row = first; row < last; row++) {
        const int64_t count = positive(&batch.value[row * k], k);
        float *error = &batch.error[row * d];
        std::copy_n(params.b_dec(), d, error);
        context.kernels.gather(error, d, params.w_dec(), &batch.index[row * k], &batch.value[row * k], count);
        sums.error += context.kernels.subtract(error, batch.x + row * d, d);
        sums.active += count;
    }
}

void Trainer::backward_rows(int64_t first, int64_t last, double error_scale, double residual_scale, Sums &sums) {
    const Kernels &kernels = context.kernels;
    const int64_t d = params.d_in;
    const int64_t k = options.k;
    /* |dz|_1 <= sqrt(k) |dz|: b_dec also gets sum dz_j W_enc[j], b_enc gets dz, W_enc gets dz (x) input */
    const double through_encoder = std::sqrt(static_cast<double>(k)) * params.longest_encoder_row + 1;
    for (int64_t row = first; row < last; row++) {
        float *error = &batch.error[row * d];
        const float *residual = nullptr;
        if (batch.aux) {
            kernels.scale(&batch.residual[row * d], static_cast<float>(residual_scale), d);
            residual = options.aux_detach ? nullptr : &batch.residual[row * d];
        }
        const double squares = kernels.combine(error, static_cast<float>(error_scale), residual, 1, d);
        kernels.axpy(sums.d_b_dec.data(), 1, error, d);
        const float *values = &batch.value[row * k];
        float *dz = &batch.dz[row * k];
        const int64_t count = positive(values, k);
        kernels.dots(error, d, params.w_dec(), &batch.index[row * k], dz, count);
        std::fill(dz + count, dz + k, 0.0f);
        sums.gradient_bound += std::sqrt(squares) * (norm(kernels, values, k) + 1) +
                               norm(kernels, dz, k) * (batch.input_norm[row] + through_encoder);
    }
}

Sums Trainer::forward_and_backward() {
    const int64_t size = batch.aux ? kAuxRows : kRows;
    Sums zero;
    zero.d_b_dec.resize(params.d_in);
    std::vector<Sums> parts(context.parts(batch.rows, size), zero);
    Sums total = zero;
    total.variance = squares_about_mean(context, batch.x, batch.rows, params.d_in);
    const double error_scale = 2 * loss_scale(total);
    for_ranges(context, batch.rows, size, [&](int64_t first, int64_t last, int64_t part, int worker) {
        decode_rows(first, last, parts[part]);
        if (batch.aux) {
            parts[part].residual = decode_dead(first, last, worker);
        } else {
            backward_rows(first, last, error_scale, 0, parts[part]);
        }
    });
    double scale = 0;
    if (batch.aux) {
        scale = aux_scale(total);
        for_ranges(context, batch.rows, size, [&](int64_t first, int64_t last, int64_t part, int) {
            backward_rows(first, last, error_scale, 2 * scale, parts[part]);
        });
        total.gradient_bound += backward_dead();
    }
    for (const Sums &part : parts) {
        total.add(part);
    }
    total.reconstruction = loss_scale(total) * total.error;
    total.aux = scale * total.residual;
    return total;
}

} // namespace sae::cpu
