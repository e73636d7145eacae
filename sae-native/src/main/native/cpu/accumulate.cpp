/*
 * accumulate.cpp: a step whose batch comes in parts, on one or several trainers.
 *
 *   accumulate:  G += B_p dL_p of part p with B_p rows      (also sums and fired flags; pending_rows 0: G = ...)
 *   add:         G += another trainer's G
 *   apply:       the step with G / sum_p B_p (adam.cpp)
 *
 * G holds W_enc, W_dec and b_enc; for b_dec the sum of dL/dx_hat, since its gradient through the encoder follows from
 * b_enc's. Bytes: a part reads and writes 16 per weight pair of latents with entries; apply reads them in addition to
 * what a step moves. Deterministic: parts and trainers are added in the order of the calls.
 */
#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kLatents = 32;

/* to = from, or to += from */
void put(const Kernels &kernels, bool add, const float *from, float *to, int64_t count) {
    if (add) {
        kernels.axpy(to, 1, from, count);
    } else {
        std::copy_n(from, count, to);
    }
}

} // namespace

void Trainer::accumulate(const float *x, const float *y, int64_t rows, int64_t pending_rows) {
    const int64_t d = params.d_in;
    const int64_t d_out = params.d_out;
    const bool add = pending_rows > 0;
    const Sums sums = differentiate(x, y, rows, pending_rows, static_cast<double>(rows));
    for_ranges(context, params.d_sae, kLatents, [&](int64_t begin, int64_t end, int64_t, int worker) {
        Block<float> &scratch = context.scratch[worker];
        scratch.grow(d + d_out);
        for (int64_t latent = begin; latent < end; latent++) {
            const bool dead = batch.aux && batch.slot_of[latent] >= 0;
            const bool chosen = batch.dense || batch.start[latent] < batch.start[latent + 1] ||
                                (multi() && batch.multi.start[latent] < batch.multi.start[latent + 1]);
            if (add && !dead && !chosen) {
                continue; /* adds nothing */
            }
            const LatentGradient part = batch_gradient(latent, scratch.data());
            put(context.kernels, add, part.encoder, &pending.encoder[latent * d], d);
            if (!options.freeze_decoder) {
                put(context.kernels, add, part.decoder, &pending.decoder[latent * d_out], d_out);
            }
            put(context.kernels, add, &part.bias, &pending.bias[latent], 1);
        }
        for (size_t i = 0; i < own_tensors().size(); i++) {
            for (int64_t latent = begin; latent < end; latent++) {
                const float slope = static_cast<float>(batch.own_grad[i][latent]);
                put(context.kernels, add, &slope, &pending.own[i * params.d_sae + latent], 1);
            }
        }
    });
    put(context.kernels, add, batch.skip_grad.data(), pending.skip.data(), pending.skip.size());
    if (add) {
        pending.sums.add(sums);
    } else {
        pending.sums = sums;
    }
}

void Trainer::apply(int64_t pending_rows, double lr) {
    finish(pending.sums, true, pending_rows, static_cast<double>(pending_rows), lr);
}

void Trainer::add(int64_t pending_rows, const Trainer &from) {
    const int64_t d = params.d_in;
    const bool adds = pending_rows > 0;
    for_ranges(context, params.d_sae, kLatents, [&](int64_t begin, int64_t end, int64_t, int) {
        const int64_t count = end - begin;
        const int64_t d_out = params.d_out;
        put(context.kernels, adds, &from.pending.encoder[begin * d], &pending.encoder[begin * d], count * d);
        put(context.kernels, adds, &from.pending.decoder[begin * d_out], &pending.decoder[begin * d_out],
            count * d_out);
        put(context.kernels, adds, &from.pending.bias[begin], &pending.bias[begin], end - begin);
        for (size_t i = 0; i < own_tensors().size(); i++) {
            const int64_t own = i * params.d_sae + begin;
            put(context.kernels, adds, &from.pending.own[own], &pending.own[own], end - begin);
        }
        for (int64_t latent = begin; latent < end; latent++) {
            fired[latent] = from.fired[latent] != 0 || (adds && fired[latent] != 0);
        }
    });
    put(context.kernels, adds, from.pending.skip.data(), pending.skip.data(), pending.skip.size());
    if (adds) {
        pending.sums.add(from.pending.sums);
    } else {
        pending.sums = from.pending.sums;
    }
}

void Trainer::copy(const Trainer &from) {
    constexpr int64_t kFloats = 1 << 16;
    for (int tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
        for_ranges(context, params.tensors[tensor].size(), kFloats, [&](int64_t begin, int64_t end, int64_t, int) {
            std::copy_n(&from.params.tensors[tensor][begin], end - begin, &params.tensors[tensor][begin]);
        });
    }
    params.encoder_changed(from.params.longest_encoder_row);
    learned_threshold = from.learned_threshold;
    steps = from.steps; /* k and the sparsity term's coefficient follow it */
    std::copy_n(from.idle_batches.data(), params.d_sae, idle_batches.data());
    std::copy_n(from.idle_rows.data(), params.d_sae, idle_rows.data());
}

} // namespace sae::cpu
