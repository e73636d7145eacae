/*
 * encode_threshold.cpp: z = ReLU(z_pre) where z_pre > threshold (ReLU, JumpReLU), or the gated z, as ragged rows.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 [entries], values float32 [entries]
 *   FLOPs 2 rows d_in d_sae; pre-activations are never all in memory: a tile goes from the product through the comparison
 *   while it is in cache, and what fires is listed by each worker (ragged.h).
 *
 * Where bfloat16 is faster, a tile is screened: a latent whose upper end (certificate.h) is not above its threshold cannot
 * fire. The others get their float32 value from a dot product, and the comparison is made with that. A row with too many
 * of those in a tile goes through sgemm. So does the whole batch if most rows of its first tile do.
 *
 * Measured on a shared and noisy AVX2 machine (AMD EPYC, no screen), one thread, CPU time, best of 3, OpenBLAS, normally
 * distributed input and weights, one threshold for which k latents of a row fire on average (ReLU: half of all):
 *
 *   (rows, d_in, d_sae, k)     topk   jumprelu   gated   relu   batchtopk   groupmax   abstopk
 *   2048, 288, 4608, 32         105        108      95    106         122         94       122 ms
 *   1024, 768, 12288, 16        366        383     374    376         365        323       355 ms
 *
 * Deterministic, whatever the number of threads.
 */
#include <cmath>

#include "certificate.h"
#include "ragged.h"
#include "tiles.h"

namespace sae::cpu {
namespace {

constexpr int64_t kScreenedRows = 96;
constexpr int64_t kScreenedLatents = 2048; /* a multiple of kPanel * kPanelsAtOnce */
constexpr int64_t kDotsPerLatent = 16;     /* a dot product takes as long as about so many products of sgemm */

/* The arrays that a Firing names. */
class Rule {
  public:
    explicit Rule(const Params &params) : threshold_(params.d_sae) {
        const float *threshold = params.tensors[SAE_THRESHOLD].data();
        if (threshold != nullptr) {
            /* z > threshold and z > 0 as one comparison; a NaN stays, so that nothing is above it */
            std::transform(threshold, threshold + params.d_sae, threshold_.begin(),
                           [](float least) { return least < 0 ? 0 : least; });
        }
        firing = {params.b_enc(), threshold_.data(), nullptr, nullptr};
        const float *r_mag = params.tensors[SAE_R_MAG].data();
        if (r_mag != nullptr) {
            gain_.resize(params.d_sae);
            std::transform(r_mag, r_mag + params.d_sae, gain_.begin(), [](float r) { return std::exp(r); });
            firing.gain = gain_.data();
            firing.magnitude = params.tensors[SAE_B_MAG].data();
        }
    }
    Rule(const Rule &) = delete;
    Rule &operator=(const Rule &) = delete;

    /* What a product without bias becomes: 0 where the latent does not fire. */
    float operator()(float product, int64_t latent) const {
        const float z = product + firing.bias[latent];
        if (!(z > firing.threshold[latent])) {
            return 0;
        }
        return firing.gain == nullptr ? z : std::max(0.0f, product * firing.gain[latent] + firing.magnitude[latent]);
    }

    Firing firing;

  private:
    std::vector<float> threshold_;
    std::vector<float> gain_;
};

struct Batch {
    Context &context;
    const Encoder encoder; /* without bias: the rule adds it */
    const Rule &rule;
    const float *input;
};

/* row_of: the numbers of these rows in the batch; null: first, first + 1, ... */
void list_tile(const Batch &batch, const float *input, int64_t first, const int64_t *row_of, int64_t rows,
               int64_t latent, int64_t count, int64_t block, int worker, RaggedRows &listed) {
    for_tile(batch.context, batch.encoder, input, rows, latent, count, worker, [&](int64_t row, const float *p) {
        const RaggedRows::Place place = listed.begin(worker, count);
        const int64_t fired =
            batch.context.kernels.fired(p, count, batch.rule.firing, latent, place.indices, place.values);
        listed.end(worker, row_of == nullptr ? first + row : row_of[row], block, fired);
    });
}

int64_t encode_plain(const Batch &batch, int64_t rows, const Latents &into) {
    const RaggedTiles tiles(rows, batch.encoder.latents);
    RaggedRows listed(batch.context, rows, tiles.across(), into.room);
    tiles.run(batch.context, [&](int64_t row, int64_t height, int64_t latent, int64_t width, int worker) {
        list_tile(batch, batch.input + row * batch.encoder.d_in, row, nullptr, height, latent, width,
                  latent / tiles.width, worker, listed);
    });
    return listed.finish(into);
}

/* Candidates become what fires, in place; returns how many. */
int64_t settle(const Batch &batch, const float *x, const RaggedRows::Place &place, int64_t candidates) {
    batch.context.kernels.dots(x, batch.encoder.d_in, batch.encoder.weights, place.indices, place.values, candidates);
    int64_t fired = 0;
    for (int64_t i = 0; i < candidates; i++) {
        const float value = batch.rule(place.values[i], place.indices[i]);
        if (value > 0) {
            place.indices[fired] = place.indices[i];
            place.values[fired++] = value;
        }
    }
    return fired;
}

/* Returns how many of the tile's rows went through sgemm. */
int64_t screen_and_list(const Batch &batch, const Certificate &certificate, int64_t first, int64_t rows, int64_t latent,
                        int64_t count, int worker, RaggedRows &listed) {
    Context &context = batch.context;
    const int64_t d = batch.encoder.d_in;
    const int64_t block = latent / kScreenedLatents;
    const int64_t width = round_up(count, kPanel * kPanelsAtOnce);
    Block<float> &tile = context.scratch[worker];
    tile.grow(rows * width);
    screen_tile(context, batch.encoder, certificate, first, rows, latent, count, tile.data(), width);
    std::vector<int64_t> dense;
    for (int64_t row = first; row < first + rows; row++) {
        const RaggedRows::Place place = listed.begin(worker, count);
        const int64_t candidates = context.kernels.may_fire(tile.data() + (row - first) * width,
                                                            certificate.margin.data(), certificate.norm[row], count,
                                                            batch.rule.firing, latent, place.indices, place.values);
        if (candidates * kDotsPerLatent > count) {
            dense.push_back(row);
        } else {
            listed.end(worker, row, block, settle(batch, batch.input + row * d, place, candidates));
        }
    }
    const int64_t again = static_cast<int64_t>(dense.size());
    if (again > 0) {
        std::vector<float> input(again * d);
        for (int64_t i = 0; i < again; i++) {
            std::copy_n(batch.input + dense[i] * d, d, &input[i * d]);
        }
        list_tile(batch, input.data(), 0, dense.data(), again, latent, count, block, worker, listed);
    }
    return again;
}

} // namespace

int64_t encode_threshold(Params &params, const float *x, int64_t rows, const Latents &into) {
    Context &context = params.context;
    const float *input = encoder_input(params, x, rows);
    const Rule rule(params);
    Encoder encoder = encoder_of(params);
    const std::optional<Certificate> certificate = certify(context, encoder, input, rows);
    encoder.bias = nullptr;
    const Batch batch = {context, encoder, rule, input};
    if (!certificate) {
        return encode_plain(batch, rows, into);
    }
    const RaggedTiles tiles(rows, params.d_sae, kScreenedRows, kScreenedLatents);
    RaggedRows listed(context, rows, tiles.across(), into.room);
    const int64_t height = std::min(rows, tiles.height);
    const int64_t width = std::min(params.d_sae, tiles.width);
    if (2 * screen_and_list(batch, *certificate, 0, height, 0, width, 0, listed) > height) {
        return encode_plain(batch, rows, into);
    }
    tiles.run(context, [&](int64_t row, int64_t count, int64_t latent, int64_t latents, int worker) {
        if (row > 0 || latent > 0) {
            screen_and_list(batch, *certificate, row, count, latent, latents, worker, listed);
        }
    });
    return listed.finish(into);
}

} // namespace sae::cpu
