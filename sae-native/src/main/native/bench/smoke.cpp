/*
 * smoke.cpp: whether one kind of matrix kernels works at all, in seconds, before anything else is tried. See bench.h.
 *
 * Encoding: small integers, so that every product and sum is exact in bf16 and float32 and ties are frequent: indices
 * and values must be those of the definition. Training: random values, a few steps, against kernels=plain.
 * Each case is named on stderr before it starts: if a kernel hangs, the last line says which.
 */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>

#include "bench.h"

namespace bench {
namespace {

#ifdef SAE_CUDA_ON_CPU_H // where an operation takes a microsecond
constexpr Shape kShapes[] = {{"ragged", 5, 40, 600, 7}};
constexpr Shape kTraining = {"training", 6, 33, 520, 4};
#else
constexpr Shape kShapes[] = {
    {"one tile", 128, 64, 512, 8},       {"ragged", 131, 72, 1500, 7},           {"one row", 1, 33, 700, 5},
    {"a row short", 255, 200, 3071, 16}, {"GPT-2's width", 130, 768, 12288, 16}, {"many chosen", 40, 65, 2049, 100}};
constexpr Shape kTraining = {"training", 200, 136, 1100, 9};
#endif
constexpr const char *kWays[] = {"precision=bf16;encode=dense", "precision=bf16;encode=chunked",
                                 "precision=bf16;encode=fused", "encode=chunked", "encode=fused"};

struct Sae {
    Shape shape;
    std::vector<float> x, w_enc, b_enc;
};

Sae integers(const Shape &shape) {
    std::mt19937 random(static_cast<unsigned>(shape.rows * 31 + shape.d_sae));
    const auto draw = [&](int64_t count, int most) {
        std::vector<float> values(static_cast<size_t>(count));
        for (float &value : values) {
            value = static_cast<float>(std::uniform_int_distribution<int>(-most, most)(random));
        }
        return values;
    };
    return {shape, draw(shape.rows * shape.d_in, 3), draw(shape.d_sae * shape.d_in, 2), draw(shape.d_sae, 4)};
}

struct Chosen {
    std::vector<int32_t> indices;
    std::vector<float> values;
};

Chosen expected(const Sae &sae) {
    const auto [name, rows, d, m, k] = sae.shape;
    Chosen chosen;
    std::vector<float> z(static_cast<size_t>(m));
    std::vector<int32_t> order(static_cast<size_t>(m));
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t latent = 0; latent < m; latent++) {
            const float *x = &sae.x[static_cast<size_t>(row * d)], *w = &sae.w_enc[static_cast<size_t>(latent * d)];
            z[static_cast<size_t>(latent)] =
                std::max(std::inner_product(x, x + d, w, sae.b_enc[static_cast<size_t>(latent)]), 0.0f);
        }
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
            const float left = z[static_cast<size_t>(a)], right = z[static_cast<size_t>(b)];
            return left != right ? left > right : a < b;
        });
        for (int64_t slot = 0; slot < k; slot++) {
            chosen.indices.push_back(order[static_cast<size_t>(slot)]);
            chosen.values.push_back(z[static_cast<size_t>(order[static_cast<size_t>(slot)])]);
        }
    }
    return chosen;
}

/* A context with parameters and a buffer of rows; closing the context closes what it holds. */
struct Opened {
    void *context = nullptr, *params = nullptr, *x = nullptr, *indices = nullptr, *values = nullptr;

    Opened(const std::string &options, const Sae &sae, const std::vector<float> &w_dec) {
        const auto &[name, rows, d, m, k] = sae.shape;
        int64_t bytes = 0;
        must(table().context_open(options.c_str(), &context), options.c_str());
        must(table().params_create(context, d, d, m, 0, &params, &bytes), "params_create");
        must(table().params_write(params, SAE_W_ENC, 0, sae.w_enc.data(), m * d), "params_write");
        must(table().params_write(params, SAE_B_ENC, 0, sae.b_enc.data(), m), "params_write");
        must(table().params_write(params, SAE_W_DEC, 0, w_dec.data(), m * d), "params_write");
        must(table().buffer_create(context, 4 * rows * d, SAE_DEVICE, &x), "buffer_create");
        must(table().buffer_create(context, 4 * rows * k, SAE_DEVICE, &indices), "buffer_create");
        must(table().buffer_create(context, 4 * rows * k, SAE_DEVICE, &values), "buffer_create");
        must(table().buffer_write(x, 0, sae.x.data(), 4 * rows * d), "buffer_write");
    }
    Opened(const Opened &) = delete;
    Opened &operator=(const Opened &) = delete;
    ~Opened() {
        for (void *buffer : {x, indices, values}) {
            table().buffer_close(buffer);
        }
        table().params_close(params);
        table().context_close(context);
    }
};

bool encodes(const Sae &sae, const Chosen &wanted, const std::string &options) {
    const Shape &shape = sae.shape;
    const Opened on(options, sae, sae.w_enc);
    must(encode_topk(&table(), on.params, on.x, shape.rows, shape.k, on.indices, on.values), "encode_topk");
    Chosen got{std::vector<int32_t>(wanted.indices.size()), std::vector<float>(wanted.values.size())};
    const auto bytes = static_cast<int64_t>(4 * wanted.indices.size());
    must(table().buffer_read(on.indices, 0, got.indices.data(), bytes), "buffer_read");
    must(table().buffer_read(on.values, 0, got.values.data(), bytes), "buffer_read");
    size_t wrong = 0;
    for (size_t slot = 0; slot < wanted.indices.size(); slot++) {
        if (got.indices[slot] != wanted.indices[slot] || got.values[slot] != wanted.values[slot]) {
            if (wrong++ == 0) {
                std::fprintf(stderr, "FAILED: row %zu, slot %zu: expected latent %d with %g, got %d with %g\n",
                             slot / static_cast<size_t>(shape.k), slot % static_cast<size_t>(shape.k),
                             wanted.indices[slot], static_cast<double>(wanted.values[slot]), got.indices[slot],
                             static_cast<double>(got.values[slot]));
            }
        }
    }
    if (wrong > 0) {
        std::fprintf(stderr, "FAILED: %zu of %zu slots are wrong\n", wrong, wanted.indices.size());
    }
    return wrong == 0;
}

/* The loss of the last of a few steps, with dead latents from the third on. */
double trained_loss(const Sae &sae, const std::string &options) {
    const Shape &shape = sae.shape;
    std::vector<float> w_dec = sae.w_enc;
    const Opened on(options, sae, w_dec);
    std::vector<double> of(SAE_OPT_COUNT);
    of[SAE_OPT_K] = shape.active();
    of[SAE_OPT_AUX_COEFFICIENT] = 1.0 / 32;
    of[SAE_OPT_AUX_K] = 64;
    of[SAE_OPT_DEAD_AFTER_BATCHES] = 2;
    of[SAE_OPT_ADAM_BETA1] = 0.9;
    of[SAE_OPT_ADAM_BETA2] = 0.99;
    of[SAE_OPT_ADAM_EPS] = 1e-8;
    of[SAE_OPT_CLIP_NORM] = 1e5;
    of[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_BEFORE_STEP;
    of[SAE_OPT_PROJECT_GRADIENT] = 1;
    void *trainer = nullptr;
    int64_t bytes = 0;
    must(table().trainer_create(on.params, of.data(), &trainer, &bytes), "trainer_create");
    double stats[SAE_STAT_COUNT];
    for (int step = 0; step < 5; step++) { // the third is launched as a graph
        must(table().train_step(trainer, on.x, nullptr, shape.rows, 1e-3), "train_step");
        must(table().trainer_stats(trainer, stats), "trainer_stats");
    }
    table().trainer_close(trainer);
    return stats[SAE_STAT_LOSS];
}

bool trains(const std::string &kernels, const char *precision, double tolerance) {
    Sae sae{kTraining, {}, {}, {}};
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    const auto draw = [&](int64_t count, float scale) {
        std::vector<float> values(static_cast<size_t>(count));
        std::generate(values.begin(), values.end(), [&] { return scale * normal(random); });
        return values;
    };
    sae.x = draw(sae.shape.rows * sae.shape.d_in, 1);
    sae.w_enc = draw(sae.shape.d_sae * sae.shape.d_in, 0.1f);
    sae.b_enc.assign(static_cast<size_t>(sae.shape.d_sae), 0.0f);
    std::fill_n(sae.b_enc.begin(), sae.shape.d_sae / 3, -2.0f); // seldom chosen
    const double wanted = trained_loss(sae, std::string("kernels=plain;") + precision);
    const double got = trained_loss(sae, "kernels=" + kernels + ";" + precision);
    const bool right = std::isfinite(got) && std::abs(got - wanted) <= tolerance * std::abs(wanted);
    if (!right) {
        std::fprintf(stderr, "FAILED: expected the loss of kernels=plain, %.9g, within %g of it, got %.9g\n", wanted,
                     tolerance, got);
    }
    return right;
}

} // namespace

bool smoke(const std::string &kernels) {
    int cases = 0, failures = 0;
    const auto check = [&](const std::string &name, const std::function<bool()> &passes) {
        std::fprintf(stderr, "smoke, kernels=%s: %s\n", kernels.c_str(), name.c_str());
        std::fflush(stderr);
        cases++;
        failures += passes() ? 0 : 1;
    };
    for (const Shape &shape : kShapes) {
        const Sae sae = integers(shape);
        const Chosen wanted = expected(sae);
        for (const char *way : kWays) {
            check(std::string("encode, ") + shape.name + ", " + way,
                  [&] { return encodes(sae, wanted, "kernels=" + kernels + ";" + way); });
        }
    }
    check("train, float32", [&] { return trains(kernels, "precision=fp32", 1e-4); });
    check("train, bf16", [&] { return trains(kernels, "precision=bf16", 1e-2); });
    std::printf("{\"id\":\"smoke/%s\",\"cases\":%d,\"failures\":%d}\n", kernels.c_str(), cases, failures);
    return failures == 0;
}

} // namespace bench
