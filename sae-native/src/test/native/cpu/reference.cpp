#include "reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sae_abi.h"

namespace reference {
namespace {

double inverse(double denominator) { return denominator == 0 ? 0 : 1 / denominator; }

double squares(const Matrix &matrix) { return std::inner_product(matrix.begin(), matrix.end(), matrix.begin(), 0.0); }

double squares_about_mean(const Matrix &matrix, int64_t rows) {
    const int64_t d = static_cast<int64_t>(matrix.size()) / rows;
    double sum = 0;
    for (int64_t i = 0; i < d; i++) {
        double mean = 0;
        for (int64_t row = 0; row < rows; row++) {
            mean += matrix[row * d + i] / static_cast<double>(rows);
        }
        for (int64_t row = 0; row < rows; row++) {
            sum += (matrix[row * d + i] - mean) * (matrix[row * d + i] - mean);
        }
    }
    return sum;
}

} // namespace

double Weights::pre_activation(const float *x, int64_t latent) const {
    double sum = b_enc[latent];
    for (int64_t i = 0; i < d; i++) {
        sum += (x[i] - (subtract ? b_dec[i] : 0)) * w_enc[latent * d + i];
    }
    return sum;
}

std::vector<int64_t> top(const Matrix &p, const std::vector<bool> &allowed, int64_t k) {
    std::vector<int64_t> order;
    for (size_t i = 0; i < p.size(); i++) {
        if (allowed[i]) {
            order.push_back(static_cast<int64_t>(i));
        }
    }
    const auto value = [&](int64_t i) { return std::max(0.0, p[i]); };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return value(a) > value(b); });
    order.resize(std::min<size_t>(order.size(), k));
    return order;
}

Trainer::Trainer(Weights start, std::map<int, double> options)
    : weights(std::move(start)), option(std::move(options)), idle_batches(weights.m), idle_rows(weights.m) {
    const size_t sizes[4] = {weights.w_enc.size(), weights.b_enc.size(), weights.w_dec.size(), weights.b_dec.size()};
    for (int tensor = 0; tensor < 4; tensor++) {
        first[tensor].resize(sizes[tensor]);
        second[tensor].resize(sizes[tensor]);
    }
}

void Trainer::adam(Matrix &w, const Matrix &gradient, int tensor, double lr) {
    const double beta1 = option[SAE_OPT_ADAM_BETA1];
    const double beta2 = option[SAE_OPT_ADAM_BETA2];
    const double t = static_cast<double>(steps);
    for (size_t i = 0; i < w.size(); i++) {
        double &m = first[tensor][i];
        double &v = second[tensor][i];
        m = beta1 * m + (1 - beta1) * gradient[i];
        v = beta2 * v + (1 - beta2) * gradient[i] * gradient[i];
        w[i] -=
            lr * (m / (1 - std::pow(beta1, t))) / (std::sqrt(v / (1 - std::pow(beta2, t))) + option[SAE_OPT_ADAM_EPS]);
    }
}

void Trainer::normalise_decoder() {
    for (auto row = weights.w_dec.begin(); row != weights.w_dec.end(); row += weights.d) {
        const double norm = std::sqrt(std::inner_product(row, row + weights.d, row, 0.0));
        std::for_each(row, row + weights.d, [norm](double &w) { w = norm > 0 ? w / norm : w; });
    }
}

void Trainer::step(const std::vector<float> &x, int64_t rows, double lr) {
    const int64_t d = weights.d;
    const int64_t m = weights.m;
    const double b = static_cast<double>(rows);
    std::vector<Matrix> p(rows, Matrix(m));
    std::vector<std::vector<int64_t>> chosen(rows), revived(rows);
    std::vector<bool> fired(m), is_dead(m);
    const Matrix target(x.begin(), x.end());
    Matrix error(rows * d);
    l0 = 0;
    const auto add_decoded = [&](Matrix &to, int64_t row, const std::vector<int64_t> &latents) {
        for (const int64_t j : latents) {
            for (int64_t i = 0; i < d && p[row][j] > 0; i++) {
                to[row * d + i] += p[row][j] * weights.w_dec[j * d + i];
            }
        }
    };
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < m; j++) {
            p[row][j] = weights.pre_activation(&x[row * d], j);
        }
        chosen[row] = top(p[row], std::vector<bool>(m, true), static_cast<int64_t>(option[SAE_OPT_K]));
        for (const int64_t j : chosen[row]) {
            fired[j] = fired[j] || p[row][j] > 0;
            l0 += p[row][j] > 0 ? 1 / b : 0;
        }
        for (int64_t i = 0; i < d; i++) {
            error[row * d + i] = weights.b_dec[i] - target[row * d + i];
        }
        add_decoded(error, row, chosen[row]);
    }
    for (int64_t j = 0; j < m; j++) {
        idle_batches[j] = fired[j] ? 0 : idle_batches[j] + 1;
        idle_rows[j] = fired[j] ? 0 : idle_rows[j] + rows;
        const double batches = option[SAE_OPT_DEAD_AFTER_BATCHES];
        const double after = option[SAE_OPT_DEAD_AFTER_ROWS];
        is_dead[j] = (batches > 0 && idle_batches[j] >= batches) || (after > 0 && idle_rows[j] >= after);
    }
    dead = static_cast<double>(std::count(is_dead.begin(), is_dead.end(), true));
    const double variance = squares_about_mean(target, rows);
    const double scales[3] = {1 / (b * static_cast<double>(d)), 1 / b, inverse(variance)};
    const double s = scales[static_cast<int>(option[SAE_OPT_LOSS])];
    double a = 0;
    Matrix residual = error;
    if (option[SAE_OPT_AUX_COEFFICIENT] > 0 && dead > 0) {
        for (int64_t row = 0; row < rows; row++) {
            revived[row] = top(p[row], is_dead, static_cast<int64_t>(option[SAE_OPT_AUX_K]));
            add_decoded(residual, row, revived[row]);
        }
        const double norms[4] = {scales[0], scales[1], scales[2], inverse(squares_about_mean(error, rows))};
        a = option[SAE_OPT_AUX_COEFFICIENT] * norms[static_cast<int>(option[SAE_OPT_AUX_NORM])] *
            (option[SAE_OPT_AUX_SCALE_BY_DEAD] != 0 ? std::min(1.0, dead / option[SAE_OPT_AUX_K]) : 1);
    }
    reconstruction = s * squares(error);
    aux = a * squares(residual);
    loss = reconstruction + aux;
    fvu = squares(error) * inverse(variance);

    Matrix d_enc(m * d), d_b_enc(m), d_dec(m * d), d_b_dec(d);
    for (int64_t row = 0; row < rows; row++) {
        Matrix to_main(d), to_aux(d);
        for (int64_t i = 0; i < d; i++) {
            to_aux[i] = 2 * a * residual[row * d + i];
            to_main[i] = 2 * s * error[row * d + i] + (option[SAE_OPT_AUX_DETACH] != 0 ? 0 : to_aux[i]);
            d_b_dec[i] += to_main[i];
        }
        const auto through = [&](const std::vector<int64_t> &latents, const Matrix &slope) {
            for (const int64_t j : latents) {
                double dz = 0;
                for (int64_t i = 0; i < d && p[row][j] > 0; i++) {
                    d_dec[j * d + i] += p[row][j] * slope[i];
                    dz += slope[i] * weights.w_dec[j * d + i];
                }
                d_b_enc[j] += dz;
                for (int64_t i = 0; i < d; i++) {
                    d_enc[j * d + i] += dz * (target[row * d + i] - (weights.subtract ? weights.b_dec[i] : 0));
                    d_b_dec[i] -= weights.subtract ? dz * weights.w_enc[j * d + i] : 0;
                }
            }
        };
        through(chosen[row], to_main);
        through(revived[row], to_aux);
    }

    const bool frozen = option[SAE_OPT_FREEZE_DECODER] != 0;
    std::vector<Matrix *> trained = {&d_enc, &d_b_dec};
    if (!frozen) {
        trained.push_back(&d_dec);
    }
    if (option[SAE_OPT_TRAIN_B_ENC] != 0) {
        trained.push_back(&d_b_enc);
    }
    gradient_norm = 0;
    if (option[SAE_OPT_CLIP_NORM] > 0) {
        for (const Matrix *gradient : trained) {
            gradient_norm += squares(*gradient);
        }
        gradient_norm = std::sqrt(gradient_norm);
        const double factor = std::min(1.0, option[SAE_OPT_CLIP_NORM] / (gradient_norm + 1e-6));
        for (Matrix *gradient : trained) {
            std::for_each(gradient->begin(), gradient->end(), [factor](double &g) { g *= factor; });
        }
    }
    const int when = static_cast<int>(option[SAE_OPT_DECODER_NORM]);
    if (!frozen && when == SAE_DECODER_NORM_BEFORE_STEP) {
        normalise_decoder();
    }
    for (int64_t j = 0; j < m && !frozen && option[SAE_OPT_PROJECT_GRADIENT] != 0; j++) {
        const auto w = weights.w_dec.begin() + j * d;
        const auto g = d_dec.begin() + j * d;
        const double along = std::inner_product(w, w + d, g, 0.0) * inverse(std::inner_product(w, w + d, w, 0.0));
        std::transform(g, g + d, w, g, [along](double gradient, double weight) { return gradient - along * weight; });
    }
    steps++;
    adam(weights.w_enc, d_enc, SAE_W_ENC, lr);
    adam(weights.b_dec, d_b_dec, SAE_B_DEC, lr);
    if (option[SAE_OPT_TRAIN_B_ENC] != 0) {
        adam(weights.b_enc, d_b_enc, SAE_B_ENC, lr);
    }
    if (!frozen) {
        adam(weights.w_dec, d_dec, SAE_W_DEC, lr);
        if (when == SAE_DECODER_NORM_AFTER_STEP) {
            normalise_decoder();
        }
    }
}

} // namespace reference
