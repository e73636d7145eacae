/*
 * encode_abs.cpp: the k largest |z_pre| of each row, with their signs: among the k largest and the k smallest z_pre.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> indices int32 [rows, k], values float32 [rows, k]
 *   FLOPs 2 rows d_in d_sae, a tile at a time as in encode_topk.cpp, with two selections a row.
 *
 * Order and ties: by |value|, then lower index, whatever the signs.
 */
#include "tiles.h"

namespace sae::cpu {
namespace {

/* The k first keys of two descending lists, those of `below` as negative values. */
void merge(Selection &above, Selection &below, int64_t k, int32_t *indices, float *values) {
    const int64_t up = above.finish_sorted();
    const int64_t down = below.finish_sorted();
    int64_t from_above = 0;
    int64_t from_below = 0;
    std::vector<uint64_t> keys;
    std::vector<bool> negative;
    while (static_cast<int64_t>(keys.size()) < k && (from_above < up || from_below < down)) {
        const bool next =
            from_above == up || (from_below < down && below.keys()[from_below] > above.keys()[from_above]);
        keys.push_back(next ? below.keys()[from_below++] : above.keys()[from_above++]);
        negative.push_back(next);
    }
    write_keys(keys.data(), static_cast<int64_t>(keys.size()), k, indices, values);
    for (size_t i = 0; i < keys.size(); i++) {
        values[i] = negative[i] ? -values[i] : values[i];
    }
}

} // namespace

void encode_abs(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values) {
    const float *input = encoder_input(params, x, rows);
    encode_abs(params.context, encoder_of(params), input, rows, k, indices, values);
}

void encode_abs(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k, int32_t *indices,
                float *values) {
    for_ranges(context, rows, tile_rows(context, rows, 2 * k), [&](int64_t first, int64_t last, int64_t, int worker) {
        std::vector<Selection> &selections = context.selections(worker, 2 * (last - first), k, encoder.latents);
        for_tiles(context, encoder, input + first * encoder.d_in, last - first, worker,
                  [&](int64_t row, float *p, int64_t latent, int64_t count) {
                      selections[2 * row].add(p, count, latent);
                      context.kernels.scale(p, -1, count);
                      selections[2 * row + 1].add(p, count, latent);
                  });
        for (int64_t row = 0; row < last - first; row++) {
            merge(selections[2 * row], selections[2 * row + 1], k, indices + (first + row) * k,
                  values + (first + row) * k);
        }
    });
}

} // namespace sae::cpu
