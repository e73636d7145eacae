/*
 * encode_screened.cpp: the same top-k as encode_topk.cpp, at the speed of a bfloat16 product.
 *
 * The screened pre-activation z' differs from the float32 one by at most |x| margin_j (certificate.cpp). A latent
 * whose upper end is below the k-th largest lower end cannot be chosen. The others, 1.5 k to 2 k per row, get their
 * float32 value from a dot product, and the choice is made among those: same order, same ties. A row with too many
 * contenders (values that are equal, or small compared with the margin) goes through sgemm, as does a batch that cannot
 * be bounded.
 *
 *   bytes: W_enc in bfloat16 once per tile of rows; 2 rows k d_in floats for the dot products
 *
 * On Zen 4 the gain is limited by its bfloat16 rate (twice float32); encode_topk.cpp has both timings. AMX multiplies the same
 * panels (screen_amx.cpp).
 */
#include "certificate.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 96;
constexpr int64_t kTileLatents = 2048;
constexpr int64_t kLeastLatentsPerK = 16; /* below this half the latents may be contenders */
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
    for (size_t i = 0; encoder.rank != nullptr && i < contenders.size(); i++) {
        exact[i] *= encoder.rank[contenders[i]];
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
    if (encoder.latents < kLeastLatentsPerK * k) {
        return false;
    }
    const std::optional<Certificate> certificate = certify(context, encoder, input, rows);
    if (!certificate) {
        return false;
    }
    const int64_t d = encoder.d_in;
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
            screen_tile(context, encoder, *certificate, first, last - first, latent, count, tile.data(), width);
            for (int64_t row = 0; row < last - first; row++) {
                float *p = tile.data() + row * width;
                if (encoder.bias != nullptr) {
                    context.kernels.axpy(p, 1, encoder.bias + latent, count);
                }
                encoder.scale(p, latent, count);
                clear[row] = clear[row] && selections[row].add_screened(p, &certificate->margin[latent],
                                                                        certificate->norm[first + row], count, latent);
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
