/*
 * encode_topk.cpp: z = keep the k largest of ReLU((x - b_dec) W_enc + b_enc).
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> indices int32 [rows, k], values float32 [rows, k]
 *   FLOPs 2 rows d_in d_sae; pre-activations are never all in memory: a tile of at most 1024 rows x 1536 latents
 *   goes from sgemm through the selection while it is in cache.
 *
 * Measured on a Zen 4 server core with AVX-512, one thread, CPU time (the machine was busy), OpenBLAS 0.3.31:
 *
 *   (rows, d_in, d_sae, k)     bare sgemm   this   encode_screened.cpp
 *   2048, 288, 4608, 32             52 ms   62 ms                46 ms
 *   1024, 768, 12288, 16           190 ms  197 ms               115 ms
 *
 * Rejected: tiles of 256 rows (66 and 209 ms: sgemm packs W_enc four times as often).
 *
 * Deterministic for a fixed number of threads (the tile's height, and so the order of sgemm's sums, may
 * depend on it). Order and ties: selection.cpp.
 */
#include "tiles.h"

namespace sae::cpu {
namespace {

/* sgemm repacks W_enc for each tile of rows: tiles are tall (1024 rows: 2 % of the product's time, 256: 15 %), and
 * kTileLatents wide. */
constexpr int64_t kMostTileRows = 1024;
constexpr int64_t kLeastTileRows = 16;
constexpr int64_t kListEntries = 1 << 16; /* each row of a tile keeps a list of a few times k entries */
constexpr int64_t kFiniteRows = 64;

} // namespace

int64_t tile_rows(const Context &context, int64_t rows, int64_t k) {
    const int64_t most = std::clamp(kListEntries / k, kLeastTileRows, kMostTileRows);
    const int64_t share = context.parts(rows, context.pool.threads());
    return std::clamp(share, kLeastTileRows, most);
}

void require_finite(Context &context, const float *x, int64_t rows, int64_t d_in) {
    std::vector<int64_t> bad(context.parts(rows, kFiniteRows), rows);
    for_ranges(context, rows, kFiniteRows, [&](int64_t first, int64_t last, int64_t part, int) {
        for (int64_t row = first; row < last; row++) {
            if (!context.kernels.all_finite(x + row * d_in, d_in)) {
                bad[part] = row;
                return;
            }
        }
    });
    const int64_t row = *std::min_element(bad.begin(), bad.end());
    if (row < rows) {
        const float *values = x + row * d_in;
        int64_t column = 0;
        while (values[column] - values[column] == 0) {
            column++;
        }
        fail(SAE_NONFINITE, "expected finite activations, got " + std::to_string(values[column]) + " in row " +
                                std::to_string(row) + ", column " + std::to_string(column));
    }
}

void write_chosen(Selection &selection, int64_t k, int32_t *indices, float *values) {
    const int64_t chosen = selection.finish_sorted();
    write_keys(selection.keys(), chosen, k, indices, values);
}

void write_keys(const uint64_t *keys, int64_t chosen, int64_t k, int32_t *indices, float *values) {
    for (int64_t i = 0; i < chosen; i++) {
        indices[i] = key_index(keys[i]);
        values[i] = key_value(keys[i]);
    }
    if (chosen == k) {
        return;
    }
    std::vector<int32_t> taken(indices, indices + chosen);
    std::sort(taken.begin(), taken.end());
    auto next = taken.begin();
    int32_t latent = 0;
    for (int64_t i = chosen; i < k; latent++) {
        if (next != taken.end() && *next == latent) {
            ++next;
        } else {
            indices[i] = latent;
            values[i] = 0;
            i++;
        }
    }
}

Encoder encoder_of(Params &params) {
    const bool biased =
        std::any_of(params.b_enc(), params.b_enc() + params.d_sae, [](float bias) { return bias != 0; });
    return {params.w_enc(), biased ? params.b_enc() : nullptr, params.d_in, params.d_sae, &params.shadow};
}

void encode_tile(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k, int worker,
                 int32_t *indices, float *values) {
    std::vector<Selection> &selections = context.selections(worker, rows, k, encoder.latents);
    for_tiles(context, encoder, input, rows, worker, [&](int64_t row, const float *p, int64_t latent, int64_t count) {
        selections[row].add(p, count, latent);
    });
    for (int64_t row = 0; row < rows; row++) {
        write_chosen(selections[row], k, indices + row * k, values + row * k);
    }
}

void encode_topk(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                 int32_t *indices, float *values) {
    if (encode_screened(context, encoder, input, rows, k, indices, values)) {
        return;
    }
    for_ranges(context, rows, tile_rows(context, rows, k), [&](int64_t first, int64_t last, int64_t, int worker) {
        encode_tile(context, encoder, input + first * encoder.d_in, last - first, k, worker, indices + first * k,
                    values + first * k);
    });
}

const float *encoder_input(Params &params, const float *x, int64_t rows) {
    Context &context = params.context;
    require_finite(context, x, rows, params.d_in);
    if (params.shift() == nullptr) {
        return x;
    }
    context.centred.grow(rows * params.d_in);
    for_ranges(context, rows, kFiniteRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            context.kernels.centre(x + row * params.d_in, params.shift(), context.centred.data() + row * params.d_in,
                                   params.d_in);
        }
    });
    return context.centred.data();
}

void encode_topk(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values) {
    const float *input = encoder_input(params, x, rows);
    encode_topk(params.context, encoder_of(params), input, rows, k, indices, values);
}

} // namespace sae::cpu
