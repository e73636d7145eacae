/*
 * encode_groups.cpp: the largest of ReLU(z_pre) in each of k groups of d_sae / k consecutive latents.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> indices int32 [rows, k], values float32 [rows, k]
 *   FLOPs 2 rows d_in d_sae, a tile at a time as in encode_topk.cpp.
 *
 * Order and ties: keys as for the top-k; in a group the first of equal values is the largest.
 */
#include <functional>

#include "tiles.h"

namespace sae::cpu {

void encode_groups(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values) {
    Context &context = params.context;
    const float *input = encoder_input(params, x, rows);
    const Encoder encoder = encoder_of(params);
    const int64_t size = params.d_sae / k;
    for_ranges(context, rows, tile_rows(context, rows, k), [&](int64_t first, int64_t last, int64_t, int worker) {
        std::vector<uint64_t> largest((last - first) * k); /* keys; 0: nothing positive so far */
        for_tiles(context, encoder, input + first * params.d_in, last - first, worker,
                  [&](int64_t row, const float *p, int64_t latent, int64_t count) {
                      for (int64_t at = 0; at < count;) {
                          const int64_t group = (latent + at) / size;
                          const int64_t end = std::min(count, (group + 1) * size - latent);
                          uint64_t &best = largest[row * k + group];
                          const int64_t found = context.kernels.peak(p + at, end - at, key_value(best));
                          if (found >= 0) {
                              best = make_key(p[at + found], latent + at + found);
                          }
                          at = end;
                      }
                  });
        for (int64_t row = 0; row < last - first; row++) {
            uint64_t *keys = &largest[row * k];
            std::sort(keys, keys + k, std::greater<>());
            write_keys(keys, std::find(keys, keys + k, 0) - keys, k, indices + (first + row) * k,
                       values + (first + row) * k);
        }
    });
}

} // namespace sae::cpu
