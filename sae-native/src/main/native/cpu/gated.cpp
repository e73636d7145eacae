/*
 * gated.cpp: what a step of a gated SAE has of its own. With p = (x - b_dec) W_enc, of every latent whose gate is open
 * (g = p + b_enc > 0):
 *
 *   z = ReLU(exp(r_mag) p + b_mag), the gate's reconstruction g W_dec + b_dec, its error e_g, and
 *   L += s sum e_g^2 + c mean sum_j g_j n_j
 *   dL/dg = <2 s e_g, W_dec> + c n / rows;  dL/dz = <dL/dx_hat, W_dec> where z > 0
 *   dL/dp = dL/dg + exp(r_mag) dL/dz;  db_enc: dL/dg;  db_mag: dL/dz;  dr_mag: exp(r_mag) p dL/dz
 *
 * The gate's step has no gradient. Memory 44 bytes per entry. Deterministic: sums over rows are taken in row order.
 * Sources: Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders"; SAELens 6.54
 * gated_sae.py; dictionary_learning 0.1.0 trainers/gdm.py, which gives the decoder no gradient of e_g (GATE_DETACH).
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
    float gate;
};

} // namespace

void Trainer::list_open_gates(int64_t rows) {
    const int64_t d = params.d_in;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    std::vector<float> gain(params.d_sae);
    std::transform(&params.tensors[SAE_R_MAG][0], &params.tensors[SAE_R_MAG][0] + params.d_sae, gain.begin(),
                   [](float r) { return std::exp(r); });
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
                    const float gate = p[i] + params.b_enc()[j];
                    if (gate > 0) {
                        const float value = p[i] * gain[j] + params.tensors[SAE_B_MAG][j];
                        listed[row].push_back({static_cast<int32_t>(j), std::max(value, 0.0f), gate});
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
    require_countable(entries, "open gates");
    batch.offsets[rows] = static_cast<int32_t>(entries);
    batch.active = 0;
    for (Block<float> *block : {&batch.value, &batch.gate, &batch.dgate, &batch.gate_of, &batch.dtheta}) {
        block->grow(entries);
    }
    batch.index.grow(entries);
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = batch.offsets[row];
        for (const Entry &entry : listed[row]) {
            batch.index[at] = entry.latent;
            batch.value[at] = entry.value;
            batch.gate[at] = entry.gate;
            batch.active += entry.value > 0;
            at++;
        }
        listed[row] = {};
    }
}

void Trainer::decode_gates(int64_t row, Sums &sums) {
    const int64_t d = params.d_out;
    const int64_t at = batch.begin(row);
    float *error = error_of(1, row);
    std::copy_n(params.b_dec(), d, error);
    context.kernels.gather(error, d, params.w_dec(), &batch.index[at], &batch.gate[at], batch.size(row));
    sums.gate += context.kernels.subtract(error, batch.y + row * d, d);
}

void Trainer::backward_gates(int64_t row, double error_scale, Sums &sums) {
    sums.gradient_bound = std::numeric_limits<double>::infinity(); /* the norm is measured */
    const int64_t d = params.d_out;
    const int64_t at = batch.begin(row);
    const double c = options.sparsity == SAE_SPARSITY_L1 ? batch.penalty / static_cast<double>(batch.rows) : 0;
    float *error = error_of(1, row);
    context.kernels.combine(error, static_cast<float>(error_scale), nullptr, 1, d);
    if (!options.gate_detach) {
        context.kernels.axpy(sums.d_b_dec.data(), 1, error, d);
    }
    context.kernels.dots(error, d, params.w_dec(), &batch.index[at], &batch.dgate[at], batch.size(row));
    for (int64_t i = at; i < batch.begin(row + 1); i++) {
        const int32_t latent = batch.index[i];
        const double n = batch.norms.empty() ? 1 : batch.norms[latent];
        const double dz = batch.value[i] > 0 ? batch.dz[i] : 0;
        const double dgate = batch.dgate[i] + c * n;
        sums.sparsity += c * batch.gate[i] * n;
        if (!batch.norms.empty()) {
            batch.dnorm[i] = static_cast<float>(c * batch.gate[i]);
        }
        batch.dgate[i] = static_cast<float>(dgate);
        batch.dtheta[i] = static_cast<float>(dz);
        batch.dz[i] = static_cast<float>(dgate + std::exp(params.tensors[SAE_R_MAG][latent]) * dz);
    }
}

void Trainer::sum_gates_by_latent() {
    for (std::vector<double> &own : batch.own_grad) {
        own.assign(params.d_sae, 0);
    }
    batch.norm_grad.assign(batch.norms.size(), 0);
    for (int64_t i = 0; i < batch.entries(); i++) {
        const int32_t latent = batch.index[i];
        const double dz = batch.dtheta[i];
        const double p = static_cast<double>(batch.gate[i]) - params.b_enc()[latent];
        batch.own_grad[0][latent] += batch.dgate[i];
        batch.own_grad[1][latent] += std::exp(params.tensors[SAE_R_MAG][latent]) * p * dz;
        batch.own_grad[2][latent] += dz;
        if (!batch.norms.empty()) {
            batch.norm_grad[latent] += batch.dnorm[i];
        }
    }
}

} // namespace sae::cpu
