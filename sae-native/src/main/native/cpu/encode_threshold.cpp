/*
 * encode_threshold.cpp: z = ReLU(z_pre) where z_pre > threshold (ReLU, JumpReLU), or the gated z, as ragged rows.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 [entries], values float32 [entries]
 *   FLOPs 2 rows d_in d_sae; pre-activations are never all in memory: a tile goes from sgemm through the comparison while
 *   it is in cache.
 */
#include <cmath>

#include "operations.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 256;
constexpr int64_t kTileLatents = 1536;

struct Entry {
    int32_t latent;
    float value;
};

/* What a latent's pre-activation without bias becomes: 0 where it does not fire. */
class Rule {
  public:
    explicit Rule(const Params &params)
        : bias_(params.b_enc()), threshold_(params.tensors[SAE_THRESHOLD].data()),
          magnitude_(params.tensors[SAE_B_MAG].data()) {
        if (magnitude_ != nullptr) {
            const float *r_mag = params.tensors[SAE_R_MAG].data();
            gain_.resize(params.d_sae);
            std::transform(r_mag, r_mag + params.d_sae, gain_.begin(), [](float r) { return std::exp(r); });
        }
    }

    float operator()(float product, int64_t latent) const {
        const float z = product + bias_[latent];
        if (magnitude_ != nullptr) {
            return z > 0 ? std::max(0.0f, product * gain_[latent] + magnitude_[latent]) : 0;
        }
        return z > 0 && (threshold_ == nullptr || z > threshold_[latent]) ? z : 0;
    }

  private:
    const float *bias_;
    const float *threshold_; /* null: 0 */
    const float *magnitude_; /* null: not gated */
    std::vector<float> gain_;
};

void encode_tile(Params &params, const Rule &rule, const float *input, int64_t rows, int worker,
                 std::vector<Entry> *listed) {
    Context &context = params.context;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    Block<float> &tile = context.scratch[worker];
    tile.grow(rows * width);
    for (int64_t latent = 0; latent < params.d_sae; latent += width) {
        const int64_t count = std::min(width, params.d_sae - latent);
        context.multiply({rows, count, params.d_in, input, params.d_in, 1, params.w_enc() + latent * params.d_in, 1,
                          params.d_in, tile.data(), width, false},
                         worker);
        for (int64_t row = 0; row < rows; row++) {
            const float *p = tile.data() + row * width;
            for (int64_t i = 0; i < count; i++) {
                const float value = rule(p[i], latent + i);
                if (value > 0) {
                    listed[row].push_back({static_cast<int32_t>(latent + i), value});
                }
            }
        }
    }
}

} // namespace

int64_t encode_threshold(Params &params, const float *x, int64_t rows, const Latents &into) {
    Context &context = params.context;
    const float *input = encoder_input(params, x, rows);
    const Rule rule(params);
    std::vector<std::vector<Entry>> listed(rows);
    for_ranges(context, rows, kTileRows, [&](int64_t first, int64_t last, int64_t, int worker) {
        encode_tile(params, rule, input + first * params.d_in, last - first, worker, &listed[first]);
    });
    int64_t entries = 0;
    for (const auto &row : listed) {
        entries += static_cast<int64_t>(row.size());
    }
    if (entries > into.room || entries > INT32_MAX) {
        return entries;
    }
    int32_t at = 0;
    for (int64_t row = 0; row < rows; row++) {
        into.offsets[row] = at;
        for (const Entry &entry : listed[row]) {
            into.indices[at] = entry.latent;
            into.values[at] = entry.value;
            at++;
        }
    }
    into.offsets[rows] = at;
    return entries;
}

} // namespace sae::cpu
