/* tiles.h: pre-activations a tile at a time, so that they are used while they are in cache and are never all in memory. */
#ifndef SAE_CPU_TILES_H
#define SAE_CPU_TILES_H

#include "operations.h"

namespace sae::cpu {

constexpr int64_t kTileLatents = 1536; /* narrow enough for the threads' combined L2 caches */

/* (input w + bias) rank for rows x the encoder's latents [first, first + count): body(row, p), p its `count` values. */
template <typename Body>
void for_tile(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t first, int64_t count,
              int worker, Body &&body) {
    Block<float> &tile = context.scratch[worker];
    tile.grow(rows * count);
    context.multiply({rows, count, encoder.d_in, input, encoder.d_in, 1, encoder.weights + first * encoder.d_in, 1,
                      encoder.d_in, tile.data(), count, false},
                     worker);
    for (int64_t row = 0; row < rows; row++) {
        float *p = tile.data() + row * count;
        if (encoder.bias != nullptr) {
            context.kernels.axpy(p, 1, encoder.bias + first, count);
        }
        encoder.scale(p, first, count);
        body(row, p);
    }
}

/* All latents of rows, in tiles of equal width: body(row, p, first latent, count). */
template <typename Body>
void for_tiles(Context &context, const Encoder &encoder, const float *input, int64_t rows, int worker, Body &&body) {
    const int64_t width = context.parts(encoder.latents, context.parts(encoder.latents, kTileLatents));
    context.scratch[worker].grow(rows * width);
    for (int64_t first = 0; first < encoder.latents; first += width) {
        const int64_t count = std::min(width, encoder.latents - first);
        for_tile(context, encoder, input, rows, first, count, worker,
                 [&](int64_t row, float *p) { body(row, p, first, count); });
    }
}

/* Tiles for rows that are ragged in the end. Their bounds, and so the order of sgemm's sums, do not depend on the number of
 * threads, and there are enough of them for many: latents are divided as well. */
struct RaggedTiles {
    static constexpr int64_t kRows = 512;
    static constexpr int64_t kLatents = 768;

    int64_t rows, latents;
    int64_t height, width; /* of a tile */

    RaggedTiles(int64_t all_rows, int64_t all_latents, int64_t most_rows = kRows, int64_t most_latents = kLatents)
        : rows(all_rows), latents(all_latents), height(most_rows), width(most_latents) {}
    int64_t down() const { return (rows + height - 1) / height; }
    int64_t across() const { return (latents + width - 1) / width; }

    /* task(first row, rows, first latent, latents, worker) for every tile */
    template <typename Task>
    void run(Context &context, Task &&task) const {
        context.pool.run(down() * across(), [&](int64_t part, int worker) {
            const int64_t row = part / across() * height;
            const int64_t latent = part % across() * width;
            task(row, std::min(height, rows - row), latent, std::min(width, latents - latent), worker);
        });
    }
};

} // namespace sae::cpu
#endif
