/*
 * encode_screened.cpp: the same top-k as encode_topk.cpp, at the speed of a bfloat16 product.
 *
 * With x = x' + dx and w = w' + dw, x' and w' rounded to bfloat16, the screened pre-activation z' = x' w' differs from
 * the float32 one by at most
 *
 *   |x| |dw| + |dx| |w'| + (2 d u) |x| |w'|     (u = 2^-24: the sums of the screen and of float32, in any order)
 *
 * |dw| and |w'| are kept for each latent, |dx| / |x| <= rho for the batch, so the margin is |x| margin_j. A latent
 * whose upper end is below the k-th largest lower end cannot be chosen. The others, 1.5 k to 2 k per row, get their
 * float32 value from a dot product, and the choice is made among those: same order, same ties. A row with too many
 * contenders (values that are equal, or small compared with the margin) goes through sgemm, as does a batch that cannot
 * be bounded.
 *
 *   bytes: W_enc in bfloat16 once per tile of rows; 2 rows k d_in floats for the dot products
 *
 * On Zen 4 the gain is limited by its bfloat16 rate (twice float32); encode_topk.cpp has both timings. AMX would gain
 * more with the same panels.
 */
#include <cmath>

#include "operations.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 96;
constexpr int64_t kTileLatents = 2048;
constexpr int64_t kLeastLatentsPerK = 16; /* below this half the latents may be contenders */
constexpr int64_t kLeastDepth = 32;
/* Packing W_enc costs about as much as this many rows. Fewer are never screened, even when it is already packed, so
 * that no result depends on what was encoded before. */
constexpr int64_t kRowsWorthPacking = 32;
constexpr double kRounding = 1.001; /* of sums of squares in float32 */
constexpr double kUnit = 1.0 / (1 << 24);
constexpr double kFlushed = 1e-37; /* a product below float's normal range may become 0 */

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

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
        result[latent] = static_cast<float>(kRounding * (scaled + absolute / divisor));
    }
    return result;
}

/* The float32 values of the remaining contenders, and the choice among them. */
void settle_row(const Context &context, const Encoder &encoder, const float *x, Selection &selection,
                std::vector<float> &exact) {
    const std::vector<int32_t> &contenders = selection.contenders();
    exact.resize(contenders.size());
    context.kernels.dots(x, encoder.d_in, encoder.weights, contenders.data(), exact.data(),
                         static_cast<int64_t>(contenders.size()));
    for (size_t i = 0; encoder.bias != nullptr && i < contenders.size(); i++) {
        exact[i] += encoder.bias[contenders[i]];
    }
    selection.settle(exact.data());
}

struct Worker {
    std::vector<int64_t> unclear; /* rows of the tile */
    std::vector<float> exact;
};

void redo(Context &context, const Encoder &encoder, const float *input, int64_t k, Worker &state, int worker,
          int32_t *indices, float *values) {
    const int64_t d = encoder.d_in;
    const int64_t count = static_cast<int64_t>(state.unclear.size());
    std::vector<float> rows(count * d);
    std::vector<int32_t> index(count * k);
    std::vector<float> value(count * k);
    for (int64_t i = 0; i < count; i++) {
        std::copy_n(input + state.unclear[i] * d, d, &rows[i * d]);
    }
    encode_tile(context, encoder, rows.data(), count, k, worker, index.data(), value.data());
    for (int64_t i = 0; i < count; i++) {
        std::copy_n(&index[i * k], k, indices + state.unclear[i] * k);
        std::copy_n(&value[i * k], k, values + state.unclear[i] * k);
    }
}

} // namespace

bool encode_screened(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                     int32_t *indices, float *values) {
    if (context.screen == nullptr || encoder.shadow == nullptr || encoder.d_in < kLeastDepth ||
        encoder.latents < kLeastLatentsPerK * k || rows < kRowsWorthPacking) {
        return false;
    }
    const int64_t d = encoder.d_in;
    const int64_t depth = round_up(d, kScreenDepth);
    const Rows rounded = round_rows(context, input, rows, d, depth);
    if (!(rounded.ratio < 1)) {
        return false;
    }
    if (!encoder.shadow->current) {
        refresh(context, encoder, depth);
    }
    const std::vector<float> margin = margins(encoder, rounded);
    const int64_t blocks = context.parts(encoder.latents, kTileLatents);
    const int64_t width = round_up(context.parts(encoder.latents, blocks), kPanel * kPanelsAtOnce);
    const int64_t height = std::clamp<int64_t>(context.parts(rows, context.pool.threads()), 12, kTileRows);
    std::vector<Worker> workers(context.pool.threads());
    for_ranges(context, rows, height, [&](int64_t first, int64_t last, int64_t, int worker) {
        Worker &state = workers[worker];
        Block<float> &tile = context.scratch[worker];
        tile.grow(height * width);
        std::vector<Selection> &selections = context.selections(worker, last - first, k, encoder.latents);
        state.unclear.clear();
        std::vector<bool> clear(last - first, true);
        for (int64_t latent = 0; latent < encoder.latents; latent += width) {
            const int64_t count = std::min(width, encoder.latents - latent);
            context.screen->multiply(&context.rounded[first * depth], last - first,
                                     &encoder.shadow->panels[latent * depth],
                                     round_up(count, kPanel * kPanelsAtOnce) / kPanel, depth, tile.data(), width);
            for (int64_t row = 0; row < last - first; row++) {
                float *p = tile.data() + row * width;
                if (encoder.bias != nullptr) {
                    context.kernels.axpy(p, 1, encoder.bias + latent, count);
                }
                clear[row] = clear[row] &&
                             selections[row].add_screened(p, &margin[latent], rounded.norm[first + row], count, latent);
            }
        }
        for (int64_t row = 0; row < last - first; row++) {
            if (clear[row]) {
                settle_row(context, encoder, input + (first + row) * d, selections[row], state.exact);
                write_chosen(selections[row], k, indices + (first + row) * k, values + (first + row) * k);
            } else {
                state.unclear.push_back(row);
            }
        }
        if (!state.unclear.empty()) {
            redo(context, encoder, input + first * d, k, state, worker, indices + first * k, values + first * k);
        }
    });
    return true;
}

} // namespace sae::cpu
