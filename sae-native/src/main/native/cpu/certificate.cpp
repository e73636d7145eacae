/*
 * certificate.cpp: with x = x' + dx and w = w' + dw, x' and w' rounded to bfloat16, the screened pre-activation z' = x' w'
 * differs from the float32 one by at most
 *
 *   |x| |dw| + |dx| |w'| + (2 d u) |x| |w'|     (u = 2^-24: the sums of the screen and of float32, in any order)
 *
 * |dw| and |w'| are kept for each latent, |dx| / |x| <= rho for the batch, so the margin is |x| margin_j.
 */
#include "certificate.h"

#include <cmath>

namespace sae::cpu {
namespace {

constexpr int64_t kLeastDepth = 32;
/* Packing W_enc costs about as much as this many rows. Fewer are never screened, even when it is already packed, so
 * that no result depends on what was encoded before. */
constexpr int64_t kRowsWorthPacking = 32;
constexpr double kRounding = 1.001; /* of sums of squares in float32 */
constexpr double kUnit = 1.0 / (1 << 24);
constexpr double kFlushed = 1e-37; /* a product below float's normal range may become 0 */

void refresh(Context &context, const Encoder &encoder, int64_t depth) {
    const int64_t panels = round_up(context.parts(encoder.latents, kPanel), kPanelsAtOnce);
    Shadow &shadow = *encoder.shadow;
    shadow.panels.grow(panels * kPanel * depth);
    shadow.error.grow(panels * kPanel);
    shadow.length.grow(panels * kPanel);
    context.pool.run(panels, [&](int64_t panel, int) {
        const int64_t first = std::min(panel * kPanel, encoder.latents);
        const int64_t count = std::min(kPanel, encoder.latents - first);
        Rounding roundings[kPanel];
        context.screen->pack_panel(encoder.weights + first * encoder.d_in, count, encoder.d_in,
                                   &shadow.panels[panel * kPanel * depth], depth, roundings);
        for (int64_t i = 0; i < count; i++) {
            shadow.error[first + i] = static_cast<float>(std::sqrt(roundings[i].error) * kRounding);
            shadow.length[first + i] = static_cast<float>(std::sqrt(roundings[i].rounded) * kRounding);
        }
    });
    shadow.current = true;
}

/* What is known about a batch, besides its rows in bfloat16 (context.rounded, [rows, depth]). */
struct Rows {
    std::vector<float> norm;
    double ratio = 0;    /* the largest |dx| / |x| */
    double shortest = 0; /* the smallest |x| > 0 */
};

Rows round_rows(Context &context, const float *input, int64_t rows, int64_t d, int64_t depth) {
    constexpr int64_t kRows = 64;
    Rows result;
    context.rounded.grow(rows * depth);
    result.norm.resize(rows);
    std::vector<double> error(rows);
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            const float *x = input + row * d;
            error[row] = std::sqrt(context.screen->round_row(x, d, &context.rounded[row * depth], depth).error);
            result.norm[row] = static_cast<float>(std::sqrt(context.kernels.dot3(x, x, d).gg) * kRounding);
        }
    });
    for (int64_t row = 0; row < rows; row++) {
        const double norm = static_cast<double>(result.norm[row]);
        if (norm > 0) {
            result.ratio = std::max(result.ratio, error[row] * kRounding * kRounding / norm);
            result.shortest = result.shortest == 0 ? norm : std::min(result.shortest, norm);
        }
        if (!std::isfinite(norm)) {
            result.ratio = norm;
            break;
        }
    }
    return result;
}

/* Per latent; terms that do not scale with |x| are divided by the shortest row. */
std::vector<float> margins(const Encoder &encoder, const Rows &rows) {
    const double d = static_cast<double>(encoder.d_in) + 8;
    const double relative = rows.ratio + 2.1 * d * kUnit;
    const double divisor = rows.shortest == 0 ? 1 : rows.shortest;
    std::vector<float> result(encoder.latents);
    for (int64_t latent = 0; latent < encoder.latents; latent++) {
        const double bias = encoder.bias == nullptr ? 0 : std::abs(static_cast<double>(encoder.bias[latent]));
        const double absolute = 8 * kUnit * bias + d * kFlushed;
        const double scaled = static_cast<double>(encoder.shadow->error[latent]) +
                              relative * static_cast<double>(encoder.shadow->length[latent]);
        const double rank = encoder.rank == nullptr ? 1 : static_cast<double>(encoder.rank[latent]);
        result[latent] = static_cast<float>(rank * kRounding * (scaled + absolute / divisor));
    }
    return result;
}

} // namespace

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

std::optional<Certificate> certify(Context &context, const Encoder &encoder, const float *input, int64_t rows) {
    if (context.screen == nullptr || encoder.shadow == nullptr || encoder.d_in < kLeastDepth ||
        rows < kRowsWorthPacking) {
        return std::nullopt;
    }
    const int64_t depth = round_up(encoder.d_in, kScreenDepth);
    Rows rounded = round_rows(context, input, rows, encoder.d_in, depth);
    if (!(rounded.ratio < 1)) {
        return std::nullopt;
    }
    if (!encoder.shadow->current) {
        refresh(context, encoder, depth);
    }
    std::vector<float> margin = margins(encoder, rounded);
    return Certificate{depth, std::move(rounded.norm), std::move(margin)};
}

void screen_tile(const Context &context, const Encoder &encoder, const Certificate &certificate, int64_t first,
                 int64_t count, int64_t latent, int64_t width, float *c, int64_t c_row) {
    context.screen->multiply(&context.rounded[first * certificate.depth], count,
                             &encoder.shadow->panels[latent * certificate.depth],
                             round_up(width, kPanel * kPanelsAtOnce) / kPanel, certificate.depth, c, c_row);
}

} // namespace sae::cpu
