/* rules_optimizer.h: the optimisers in double precision, from the formulas of sae_abi.h (SAE_OPT_OPTIMIZER). Used by
 * rules_update.h. What is kept between steps is rounded to float32 where every backend does so, the parameters. */
#ifndef SAE_TEST_RULES_OPTIMIZER_H
#define SAE_TEST_RULES_OPTIMIZER_H

#include "../reference.h"

namespace reference {

constexpr double kMomentum = 0.95; // of signum's averaging, and of Muon

/* t: number of this step, from 1 */
inline void adam_step(const Options &o, double lr, double t, const std::vector<double> &g, std::vector<float> &w,
                      std::vector<double> &m, std::vector<double> &v) {
    const double beta1 = o[SAE_OPT_ADAM_BETA1], beta2 = o[SAE_OPT_ADAM_BETA2];
    for (size_t i = 0; i < w.size(); i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        w[i] = static_cast<float>(w[i] - lr * m[i] / (1 - std::pow(beta1, t)) /
                                             (std::sqrt(v[i] / (1 - std::pow(beta2, t))) + o[SAE_OPT_ADAM_EPS]));
    }
}

/* Share of the step's iterate in the average. */
inline double next_share(double lr, std::vector<double> &averaging) {
    averaging[1] = std::max(averaging[1], lr);
    const double weight = averaging[1] * averaging[1];
    averaging[0] += weight;
    return averaging[0] == 0 ? 0 : weight / averaging[0];
}

/* w: y; z: the iterate, which starts at y */
inline void signum_step(double lr, double share, const std::vector<double> &g, std::vector<float> &w,
                        std::vector<double> &z) {
    for (size_t i = 0; i < w.size(); i++) {
        double x = w[i] + (1 - 1 / kMomentum) * (z[i] - w[i]);
        z[i] -= lr * (g[i] > 0 ? 1 : g[i] < 0 ? -1 : 0);
        x += share * (z[i] - x);
        w[i] = static_cast<float>(z[i] + kMomentum * (x - z[i]));
    }
}

/* c [m, n] = a [m, inner] b [inner, n] */
inline std::vector<double> matrix_product(const std::vector<double> &a, const std::vector<double> &b, size_t m,
                                          size_t n, size_t inner) {
    std::vector<double> c(m * n);
    for (size_t i = 0; i < m; i++) {
        for (size_t p = 0; p < inner; p++) {
            for (size_t j = 0; j < n; j++) {
                c[i * n + j] += a[i * inner + p] * b[p * n + j];
            }
        }
    }
    return c;
}

inline std::vector<double> transposed(const std::vector<double> &a, size_t rows, size_t columns) {
    std::vector<double> t(a.size());
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            t[j * rows + i] = a[i * columns + j];
        }
    }
    return t;
}

/* Five Newton-Schulz steps of x [rows, columns], rows <= columns. */
inline std::vector<double> orthogonal(std::vector<double> x, size_t rows, size_t columns) {
    const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)) + 1e-7;
    for (double &value : x) {
        value /= norm;
    }
    for (int step = 0; step < 5; step++) {
        const std::vector<double> a = matrix_product(x, transposed(x, rows, columns), rows, rows, columns);
        std::vector<double> b = matrix_product(a, a, rows, rows, rows);
        for (size_t i = 0; i < b.size(); i++) {
            b[i] = 2.0315 * b[i] - 4.7750 * a[i];
        }
        const std::vector<double> moved = matrix_product(b, x, rows, columns, rows);
        for (size_t i = 0; i < x.size(); i++) {
            x[i] = 3.4445 * x[i] + moved[i];
        }
    }
    return x;
}

/* g, w and m are [rows, columns] */
inline void muon_step(double lr, const std::vector<double> &g, std::vector<float> &w, std::vector<double> &m,
                      size_t columns) {
    const size_t rows = w.size() / columns;
    std::vector<double> n(w.size());
    for (size_t i = 0; i < w.size(); i++) {
        m[i] += (1 - kMomentum) * (g[i] - m[i]);
        n[i] = g[i] + kMomentum * (m[i] - g[i]);
    }
    n = rows <= columns ? orthogonal(n, rows, columns)
                        : transposed(orthogonal(transposed(n, rows, columns), columns, rows), columns, rows);
    const double scale = 0.2 * std::sqrt(static_cast<double>(std::max(rows, columns)));
    for (size_t i = 0; i < w.size(); i++) {
        w[i] = static_cast<float>(w[i] * (1 - 0.1 * lr) - lr * scale * n[i]);
    }
}

} // namespace reference
#endif
