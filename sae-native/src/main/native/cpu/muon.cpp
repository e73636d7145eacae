/*
 * muon.cpp: the update of the weight matrices with SAE_MUON, from the momentum that the sweep (adam.cpp) left.
 *
 *   n = g + b (m - g); X = n or its transpose, so that it has no more rows than columns; X /= |X|
 *   five times: A = X X^T, X = a X + (b' A + c A A) X, which brings the singular values near 1
 *   W -= lr 0.2 sqrt(longer side) X
 *
 * In float32; sparsify iterates in bfloat16, whose rounding moves its losses by some 0.5 % within 100 steps.
 * With S the shorter and L the longer side: FLOPs 5 (4 S^2 L + 2 S^3), memory 8 S L + 12 S^2 bytes.
 * Deterministic: products in fixed tiles.
 * Source: sparsify 1.3.3, muon.py (quintic_newtonschulz, Muon), which follows Jordan et al. 2024, "Muon".
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int kIterations = 5;
constexpr float kLinear = 3.4445f, kCubic = -4.7750f, kQuintic = 2.0315f;
constexpr int64_t kTileRows = 64;
constexpr int64_t kFloats = 1 << 14;

/* A matrix whose element (i, j) is at data[i * row + j * column]. */
struct View {
    const float *data;
    int64_t row, column;
};

/* c [m, n] = a [m, inner] b [inner, n] */
void product(Context &context, const View &a, const View &b, int64_t m, int64_t n, int64_t inner, float *c) {
    for_ranges(context, m, kTileRows, [&](int64_t first, int64_t last, int64_t, int worker) {
        context.multiply({last - first, n, inner, a.data + first * a.row, a.row, a.column, b.data, b.row, b.column,
                          c + first * n, n, false},
                         worker);
    });
}

} // namespace

/* momentum [rows, columns] becomes its orthogonal factor, nearly. */
void Trainer::orthogonalise(float *momentum, int64_t rows, int64_t columns) {
    const int64_t size = rows * columns;
    const int64_t shorter = std::min(rows, columns);
    const int64_t longer = std::max(rows, columns);
    const bool flat = rows <= columns; /* X as stored, otherwise transposed */
    const double norm = std::sqrt(context.kernels.dot3(momentum, momentum, size).gg);
    context.kernels.scale(momentum, static_cast<float>(1 / (norm + 1e-7)), size);
    muon.gram.grow(shorter * shorter);
    muon.scaled.grow(shorter * shorter);
    muon.squared.grow(shorter * shorter);
    muon.moved.grow(size);
    float *gram = muon.gram.data();
    float *scaled = muon.scaled.data();
    float *squared = muon.squared.data();
    float *moved = muon.moved.data();
    const View x = {momentum, flat ? longer : 1, flat ? 1 : shorter};
    const View x_transposed = {momentum, x.column, x.row};
    for (int i = 0; i < kIterations; i++) {
        product(context, x, x_transposed, shorter, shorter, longer, gram);
        std::transform(gram, gram + shorter * shorter, scaled, [](float a) { return kQuintic * a; });
        product(context, {scaled, shorter, 1}, {gram, shorter, 1}, shorter, shorter, shorter, squared);
        std::transform(gram, gram + shorter * shorter, squared, squared,
                       [](float a, float square) { return kCubic * a + square; });
        if (flat) {
            product(context, {squared, shorter, 1}, x, shorter, longer, shorter, moved);
        } else { /* the transpose of that */
            product(context, x_transposed, {squared, 1, shorter}, longer, shorter, shorter, moved);
        }
        for_ranges(context, size, kFloats, [&](int64_t first, int64_t last, int64_t, int) {
            std::transform(momentum + first, momentum + last, moved + first, momentum + first,
                           [](float old, float step) { return kLinear * old + step; });
        });
    }
}

double Trainer::apply_muon(int tensor, int64_t rows, int64_t columns, double lr) {
    float *momentum = muon.momentum[tensor].data();
    float *w = params.tensors[tensor].data();
    orthogonalise(momentum, rows, columns);
    const auto step = static_cast<float>(-lr * 0.2 * std::sqrt(static_cast<double>(std::max(rows, columns))));
    context.kernels.axpy(w, step, momentum, rows * columns);
    return tensor == SAE_W_ENC ? longest_row(context, w, rows, columns) : 0;
}

void Trainer::finish_muon(double lr, double &longest_encoder_row) {
    longest_encoder_row = apply_muon(SAE_W_ENC, params.d_sae, params.d_in, lr);
    if (!options.freeze_decoder) {
        apply_muon(SAE_W_DEC, params.d_sae, params.d_out, lr);
        for (int64_t latent = 0; options.decoder_norm == SAE_DECODER_NORM_AFTER_STEP && latent < params.d_sae;
             latent++) {
            float *row = params.w_dec() + latent * params.d_out;
            const double squares = context.kernels.dot3(row, row, params.d_out).gg;
            context.kernels.scale(row, squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 1, params.d_out);
        }
    }
    if (skips()) {
        apply_muon(SAE_W_SKIP, params.d_out, params.d_in, lr);
    }
}

} // namespace sae::cpu
