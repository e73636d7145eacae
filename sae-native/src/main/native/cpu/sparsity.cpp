/*
 * sparsity.cpp: the parts of a step that SAE_THRESHOLD_RULE has of its own: which latents are above their threshold, the
 * sparsity term, and the straight-through gradient of thresholds (sae_abi.h: SAE_SPARSITY_*).
 *
 *   input [rows, d_in], W_enc [d_sae, d_in] -> ragged rows of every latent with z_pre > threshold, and of those within
 *   half a bandwidth below it, with value 0: only the threshold's gradient needs them
 *   FLOPs 2 rows d_in d_sae; pre-activations are never all in memory.
 *   Memory 32 bytes per entry, so at most 32 rows d_sae; training in parts (sae_train_accumulate) divides it.
 *
 * Sources: Rajamanoharan et al. 2024, "Jumping ahead" (the estimator, L0); Anthropic, January 2025 update (tanh); SAELens
 * 6.54 jumprelu_sae.py, standard_sae.py; dictionary_learning 0.1.0 trainers/jumprelu.py, standard.py.
 * Deterministic: sums over rows are taken in row order.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 128;
constexpr int64_t kTileLatents = 1536;

struct Entry {
    int32_t latent;
    float value;
};

} // namespace

void Trainer::list_above_thresholds(int64_t rows) {
    const int64_t d = params.d_in;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    const float *threshold = trains_threshold() ? params.tensors[SAE_THRESHOLD].data() : nullptr;
    const float half = options.bandwidth / 2;
    std::vector<std::vector<Entry>> listed(rows);
    for_ranges(context, rows, kTileRows, [&](int64_t first, int64_t last, int64_t, int worker) {
        Block<float> &tile = context.scratch[worker];
        tile.grow((last - first) * width);
        for (int64_t latent = 0; latent < params.d_sae; latent += width) {
            const int64_t count = std::min(width, params.d_sae - latent);
            context.multiply({last - first, count, d, &batch.input[first * d], d, 1, params.w_enc() + latent * d, 1, d,
                              tile.data(), width, false},
                             worker);
            for (int64_t row = first; row < last; row++) {
                const float *p = tile.data() + (row - first) * width;
                for (int64_t i = 0; i < count; i++) {
                    const int64_t j = latent + i;
                    const float z = p[i] + params.b_enc()[j];
                    const float t = threshold == nullptr ? 0 : threshold[j];
                    if (z > t && z > 0) {
                        listed[row].push_back({static_cast<int32_t>(j), z});
                    } else if (threshold != nullptr && t - z < half) {
                        listed[row].push_back({static_cast<int32_t>(j), 0});
                    }
                }
            }
        }
    });
    int64_t entries = 0;
    for (int64_t row = 0; row < rows; row++) {
        batch.offsets[row] = static_cast<int32_t>(entries);
        entries += static_cast<int64_t>(listed[row].size());
    }
    require_countable(entries, "active latents");
    batch.offsets[rows] = static_cast<int32_t>(entries);
    batch.index.grow(entries);
    batch.value.grow(entries);
    batch.dtheta.grow(trains_threshold() ? entries : 0);
    batch.active = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = batch.offsets[row];
        for (const Entry &entry : listed[row]) {
            batch.index[at] = entry.latent;
            batch.value[at] = entry.value;
            batch.active += entry.value > 0;
            at++;
        }
        listed[row] = {};
    }
}

void Trainer::prepare_penalty() {
    const double warm = options.sparsity_warmup == 0
                            ? 1
                            : std::min(1.0, static_cast<double>(steps) / static_cast<double>(options.sparsity_warmup));
    batch.penalty = options.sparsity_coefficient * warm * batch.weight;
    const double rows = static_cast<double>(batch.rows);
    batch.step_slope = options.sparsity == SAE_SPARSITY_L0 ? batch.penalty / rows : 0;
    if (options.sparsity == SAE_SPARSITY_L0_OF_BATCH) {
        const double off = static_cast<double>(batch.active) / rows / options.target_l0 - 1;
        batch.step_slope = 2 * batch.penalty * off / options.target_l0 / rows;
    }
    batch.norms.clear();
    if (options.weight_by_norm && (options.sparsity == SAE_SPARSITY_L1 || options.sparsity == SAE_SPARSITY_TANH)) {
        batch.dnorm.grow(batch.entries());
        batch.norms = decoder_norms();
    }
}

void Trainer::penalise(int64_t row, Sums &sums) {
    sums.gradient_bound = std::numeric_limits<double>::infinity(); /* the norm is measured */
    const float *threshold = trains_threshold() ? params.tensors[SAE_THRESHOLD].data() : nullptr;
    const double rows = static_cast<double>(batch.rows);
    const double c = batch.penalty / rows;
    const float h = options.bandwidth;
    int64_t active = 0;
    for (int64_t i = batch.begin(row); i < batch.begin(row + 1); i++) {
        active += batch.value[i] > 0;
    }
    double slope = batch.step_slope; /* dL/dL0 of this row */
    if (options.sparsity == SAE_SPARSITY_L0) {
        sums.sparsity += c * static_cast<double>(active);
    } else if (options.sparsity == SAE_SPARSITY_L0_OF_ROWS) {
        const double off = static_cast<double>(active) - options.target_l0;
        sums.sparsity += c * 2 / options.target_l0 * off * off;
        slope = c * 4 / options.target_l0 * off;
    } else if (options.sparsity == SAE_SPARSITY_L0_OF_BATCH) {
        const double off = static_cast<double>(batch.active) / rows / options.target_l0 - 1;
        sums.sparsity += c * off * off;
    }
    for (int64_t i = batch.begin(row); i < batch.begin(row + 1); i++) {
        const int32_t latent = batch.index[i];
        const double z = batch.value[i];
        const double n = batch.norms.empty() ? 1 : batch.norms[latent];
        double dz = batch.dz[i];
        double dn = 0;
        if (options.sparsity == SAE_SPARSITY_L1 && z > 0) {
            sums.sparsity += c * z * n;
            dz += c * n;
            dn = c * z;
        } else if (options.sparsity == SAE_SPARSITY_TANH) {
            const double t = std::tanh(options.tanh_scale * z * n);
            const double inner = c * options.tanh_scale * (1 - t * t);
            sums.sparsity += c * t;
            dz += inner * n;
            dn = inner * z;
        }
        if (!batch.norms.empty()) {
            batch.dnorm[i] = static_cast<float>(dn);
        }
        if (threshold == nullptr) {
            batch.dz[i] = static_cast<float>(dz);
            continue;
        }
        const double t = threshold[latent];
        const bool near = z == 0 || batch.value[i] - threshold[latent] < h / 2;
        double through = near ? t / h * dz : 0;
        if (near && (z > 0 || options.sparsity != SAE_SPARSITY_L0_OF_BATCH)) {
            through += slope / h;
        }
        batch.dtheta[i] = static_cast<float>(-through);
        batch.dz[i] = static_cast<float>((z > 0 ? dz : 0) + (options.ste_to_input ? through : 0));
    }
}

void Trainer::sum_by_latent() {
    const bool outputs = options.sparsity == SAE_SPARSITY_L0_OF_BATCH && trains_threshold();
    std::vector<int64_t> active(outputs ? params.d_sae : 0);
    if (gated()) {
        return sum_gates_by_latent();
    }
    batch.own_grad[0].assign(trains_threshold() ? params.d_sae : 0, 0);
    batch.norm_grad.assign(batch.norms.size(), 0);
    for (int64_t i = 0; i < batch.entries(); i++) {
        const int32_t latent = batch.index[i];
        if (trains_threshold()) {
            batch.own_grad[0][latent] += batch.dtheta[i];
        }
        if (!batch.norms.empty()) {
            batch.norm_grad[latent] += batch.dnorm[i];
        }
        if (outputs) {
            active[latent] += batch.value[i] > 0;
        }
    }
    /* z = 0 is within the bandwidth of a threshold below half of it */
    for (int64_t latent = 0; latent < static_cast<int64_t>(active.size()); latent++) {
        if (params.tensors[SAE_THRESHOLD][latent] < options.bandwidth / 2) {
            batch.own_grad[0][latent] -=
                batch.step_slope / options.bandwidth * static_cast<double>(batch.rows - active[latent]);
        }
    }
}

} // namespace sae::cpu
