/*
 * trainer.h: optimiser state of one SAE, and its three kinds of step.
 *
 * The fused step (step_fused.cu) is the default for TopK with Adam. The plain step (step_plain.cu) has one kernel per formula and writes
 * every gradient to memory: it is used where the fused one does not fit (rows too long for the registers of a block; an
 * auxiliary loss scaled by the residual's variance, which is known only after decoding), where gradients of several
 * parts or devices are added up, where the norm to clip is that of the projected gradient, with other optimisers, and as the
 * fused one's counterpart in tests (context option step=plain); and for what is rarer than TopK: AbsTopK, GroupMax, transcoders
 * with d_out != d_in or a skip, a second loss (multi_topk.cu), latents or dead ones that are ranked by something else than
 * their values (encode/choose_ranked.cu). Neither waits for the device. The ragged step (step_ragged.cu) is for
 * rules whose rows are ragged: every gradient is in memory too, and it waits for the number of entries.
 */
#ifndef SAE_CUDA_TRAINER_H
#define SAE_CUDA_TRAINER_H

#include <algorithm>

#include "../../common/k_schedule.h"
#include "../dead/dead.h"
#include "../device/memory_plan.h"
#include "../encode/choose_ranked.h"
#include "csc.h"
#include "muon.h"
#include "ragged_options.h"
#include "row_update.h"
#include "step_rows.h"
#include "step_state.h"

namespace sae::cuda {

constexpr int kTensors = SAE_W_SKIP + 1; // that may be trained

inline LossOptions loss_options(const double *options) {
    return {
        .loss = static_cast<int>(options[SAE_OPT_LOSS]),
        .aux_norm = static_cast<int>(options[SAE_OPT_AUX_NORM]),
        .aux_coefficient = options[SAE_OPT_AUX_COEFFICIENT],
        .per_dead = options[SAE_OPT_AUX_SCALE_BY_DEAD] != 0.0 ? 1.0 / std::max(options[SAE_OPT_AUX_K], 1.0) : 1.0,
    };
}

inline AdamOptions adam_options(const double *options) {
    return {
        .beta1 = options[SAE_OPT_ADAM_BETA1],
        .beta2 = options[SAE_OPT_ADAM_BETA2],
        .eps = options[SAE_OPT_ADAM_EPS],
        .clip_norm = options[SAE_OPT_CLIP_NORM],
        .decoder_norm = static_cast<int>(options[SAE_OPT_DECODER_NORM]),
        .project_gradient = options[SAE_OPT_PROJECT_GRADIENT] != 0.0,
    };
}

struct Trainer {
    const Params &params;
    const LossOptions loss;
    const AdamOptions adam;
    const KSchedule k_schedule;
    int64_t k;               // of the current step
    int64_t steps = 0;       // that were queued, whether or not one of them turns out to be refused
    const double multi_topk; // weight of the second loss; 0: there is none
    const int64_t aux_k;     // 0: no auxiliary loss
    const bool aux_detach;
    const int64_t dead_after_batches;
    const int64_t dead_after_rows;
    const bool train_b_enc;
    const bool freeze_decoder;
    const bool clip_projected;
    const int32_t rule; // SAE_TOPK ...
    const bool rank_by_norm;
    const bool aux_signed;
    const Prefixes prefixes;
    const Prefixes aux_levels; // the prefixes, if each has an auxiliary loss of its own; otherwise one, of all latents
    const LearnedThreshold learned;
    const PenaltyOptions penalty;
    const bool gate_detach;
    const int32_t optimizer; // SAE_ADAM ...
    int64_t last_rows = 0;   // of the last step, for the message about a refused row; 0: it came in parts

    int64_t room = 0; // entries that a ragged step has had room for so far

    const bool ragged;        // step_ragged.cu
    const bool fused;         // step_fused.cu, otherwise step_plain.cu
    const bool has_moments;   // needed by an update
    const bool has_gradients; // needed by the plain step and parts of a batch
    /* Sums over the parts of a step, weighted by their rows; for b_dec without its gradient through the encoder. */
    DeviceMemory gradients[kTensors];
    DeviceMemory of_product; // float32 [m], gated: sums of the gradient of the encoder's product, which is not b_enc's
    DeviceMemory fired;      // uint8 [m]: whether a latent fired in the parts so far
    DeviceMemory first[kTensors];  // float32; bfloat16 if narrow_moments; signum: its iterate
    DeviceMemory second[kTensors]; // empty where the optimiser has none
    DeviceMemory idle_batches;     // int64 [m]
    DeviceMemory idle_rows;        // int64 [m]
    DeviceMemory muon_memory;      // MuonScratch; empty with other optimisers
    DeviceMemory status_memory;
    StepGraphs graphs;

    Trainer(const Params &of, const double *options)
        : params(of), loss(loss_options(options)), adam(adam_options(options)), k_schedule(options), k(k_schedule.last),
          multi_topk(options[SAE_OPT_MULTI_TOPK]),
          aux_k(loss.aux_coefficient > 0.0 ? std::min(static_cast<int64_t>(options[SAE_OPT_AUX_K]), of.d_sae) : 0),
          aux_detach(options[SAE_OPT_AUX_DETACH] != 0.0),
          dead_after_batches(static_cast<int64_t>(options[SAE_OPT_DEAD_AFTER_BATCHES])),
          dead_after_rows(static_cast<int64_t>(options[SAE_OPT_DEAD_AFTER_ROWS])),
          train_b_enc(options[SAE_OPT_TRAIN_B_ENC] != 0.0), freeze_decoder(options[SAE_OPT_FREEZE_DECODER] != 0.0),
          clip_projected(options[SAE_OPT_CLIP_PROJECTED] != 0.0 && adam.project_gradient),
          rule(static_cast<int32_t>(options[SAE_OPT_RULE])), rank_by_norm(options[SAE_OPT_RANK_BY_NORM] != 0.0),
          aux_signed(options[SAE_OPT_AUX_SIGNED] != 0.0), prefixes(prefixes_of(options, of.d_sae)),
          aux_levels(options[SAE_OPT_AUX_BY_PREFIX] != 0.0 ? prefixes : Prefixes{1, {of.d_sae}, {1.0}}),
          learned(learned_threshold_of(options)), penalty(penalty_options(options)),
          gate_detach(options[SAE_OPT_GATE_DETACH] != 0.0), optimizer(static_cast<int32_t>(options[SAE_OPT_OPTIMIZER])),
          ragged(rule == SAE_BATCH_TOPK || rule == SAE_THRESHOLD_RULE),
          fused(rule == SAE_TOPK && optimizer == SAE_ADAM && multi_topk == 0.0 && of.d_in == of.d_out &&
                !of.has(SAE_SKIP) && of.context->fused_step && row_update_fits(of.d_in) && !clip_projected &&
                !rank_by_norm && (aux_k == 0 || (loss.aux_norm != SAE_AUX_RESIDUAL_VARIANCE && !aux_signed))),
          has_moments(static_cast<int>(options[SAE_OPT_GRADIENTS]) != SAE_GRADIENTS_ONLY),
          has_gradients(!fused || static_cast<int>(options[SAE_OPT_GRADIENTS]) != SAE_GRADIENTS_NONE) {
        const cudaStream_t stream = params.context->stream;
        const bool narrow = params.context->bf16_moments && optimizer == SAE_ADAM;
        require_memory(memory::trainer_bytes({params.d_in, params.d_out, params.d_sae, params.elements(SAE_W_SKIP)},
                                             has_moments ? (narrow ? 2 : 4) : 0, has_gradients) +
                           12 * params.d_sae * own_tensors() + beyond_adam(),
                       0,
                       std::string(has_gradients ? "the optimiser state and gradients" : "the optimiser state") +
                           " of an SAE with d_in " + std::to_string(params.d_in) + " and d_sae " +
                           std::to_string(params.d_sae),
                       narrow || !has_moments || optimizer != SAE_ADAM
                           ? "a smaller d_sae, or a device with more memory"
                           : "a smaller d_sae, or moments=bf16 in the options of the backend");
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (tensor > SAE_B_DEC && !trains(tensor)) {
                continue;
            }
            if (has_moments) {
                const int64_t bytes = params.elements(tensor) * moment_bytes(tensor);
                first[tensor] = zeroed(bytes, stream);
                if (has_second(tensor)) {
                    second[tensor] = zeroed(bytes, stream);
                }
            }
            if (has_gradients) {
                gradients[tensor] = zeroed(params.elements(tensor) * static_cast<int64_t>(sizeof(float)), stream);
            }
        }
        if (has_gradients) {
            fired = zeroed(params.d_sae, stream);
            if (gated()) {
                of_product = zeroed(params.d_sae * static_cast<int64_t>(sizeof(float)), stream);
            }
        }
        if (muon_bytes() > 0) {
            muon_memory = DeviceMemory(muon_bytes());
        }
        idle_batches = zeroed(params.d_sae * static_cast<int64_t>(sizeof(int64_t)), stream);
        idle_rows = zeroed(params.d_sae * static_cast<int64_t>(sizeof(int64_t)), stream);
        status_memory = DeviceMemory(sizeof(StepStatus));
        StepStatus fresh{};
        fresh.bad_row = kNoBadRow;
        fresh.refused_row = kNoBadRow;
        fresh.learned_threshold = -1.0;
        write_status(fresh);
    }

    /* Only Adam's, of matrices: the biases are small, and signum's iterate is a parameter. */
    bool narrow_moments(int32_t tensor) const {
        return params.context->bf16_moments && optimizer == SAE_ADAM && (tensor == SAE_W_ENC || tensor == SAE_W_DEC);
    }
    bool has_second(int32_t tensor) const {
        return optimizer == SAE_ADAM || (optimizer == SAE_MUON && !is_matrix(tensor));
    }
    /* Whether Muon trains it by its own rule. */
    static bool is_matrix(int32_t tensor) { return tensor == SAE_W_ENC || tensor == SAE_W_DEC || tensor == SAE_W_SKIP; }
    MuonShape shape_of(int32_t matrix) const {
        return {matrix == SAE_W_SKIP ? params.d_out : params.d_sae, matrix == SAE_W_DEC ? params.d_out : params.d_in};
    }
    MuonScratch muon_scratch(Carver &carver) const {
        std::vector<MuonShape> shapes;
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (is_matrix(tensor) && trains(tensor) && params.elements(tensor) > 0) {
                shapes.push_back(shape_of(tensor));
            }
        }
        return MuonScratch(carver, shapes);
    }
    int64_t muon_bytes() const {
        Carver measure;
        if (optimizer == SAE_MUON && has_moments) {
            muon_scratch(measure);
        }
        return measure.used();
    }
    int64_t moment_bytes(int32_t tensor) const {
        return static_cast<int64_t>(narrow_moments(tensor) ? sizeof(Bf16) : sizeof(float));
    }

    StepStatus *status() const { return status_memory.as<StepStatus>(); }
    IdleCounters idle() const { return {idle_batches.as<int64_t>(), idle_rows.as<int64_t>()}; }

    StepStatus read_status() const {
        StepStatus copy;
        check(cudaMemcpyAsync(&copy, status(), sizeof copy, cudaMemcpyDeviceToHost, params.context->stream),
              "reading the step's result");
        params.context->synchronize();
        return copy;
    }

    void write_status(const StepStatus &value) const {
        check(cudaMemcpyAsync(status(), &value, sizeof value, cudaMemcpyHostToDevice, params.context->stream),
              "writing the trainer's status");
        params.context->synchronize();
    }

    /* Called before a step or a part of one is queued. */
    void choose_k() { k = k_schedule.after(steps); }
    /* Latents that the second loss decodes, as many as sparsify's; 0 without it. */
    int64_t multi_k() const { return multi_topk > 0.0 ? std::min(4 * k, params.d_sae) : 0; }
    /* Whether latents compete by something else than their values, and whether dead ones do, or do so level by level. */
    bool ranks() const { return rule == SAE_ABS_TOPK || rank_by_norm; }
    bool ranks_dead() const { return ranks() || aux_signed || aux_levels.count > 1; }
    /* norms: null unless rank_by_norm */
    Ranking ranking(const float *norms) const { return {norms, rule == SAE_ABS_TOPK, rule == SAE_ABS_TOPK}; }
    Ranking ranking_dead(const float *norms) const {
        return {norms, rule == SAE_ABS_TOPK, rule == SAE_ABS_TOPK || aux_signed};
    }
    /* The most latents that a row of TopK, AbsTopK or GroupMax chooses at a time. */
    int64_t widest_choice() const { return std::max({k, multi_k(), aux_k}); }

    bool gated() const { return params.has(SAE_GATED); }
    bool trains(int32_t tensor) const {
        switch (tensor) {
        case SAE_B_ENC:
            return train_b_enc;
        case SAE_W_DEC:
            return !freeze_decoder;
        case SAE_THRESHOLD:
            return rule == SAE_THRESHOLD_RULE && params.has(SAE_THRESHOLDS);
        case SAE_R_MAG:
        case SAE_B_MAG:
            return gated();
        case SAE_W_SKIP:
            return params.has(SAE_SKIP);
        default:
            return true;
        }
    }
    /* Bytes that the optimiser's state takes beyond Adam's. */
    int64_t beyond_adam() const {
        int64_t bytes = muon_bytes();
        for (int32_t tensor = 0; tensor < kTensors && has_moments; tensor++) {
            const bool kept = tensor <= SAE_B_DEC || trains(tensor);
            bytes -= kept && !has_second(tensor) ? 4 * params.elements(tensor) : 0;
        }
        return bytes;
    }
    /* Trained tensors [m] besides b_enc, and of_product. */
    int64_t own_tensors() const { return gated() ? 3 : trains(SAE_THRESHOLD) ? 1 : 0; }
    /* By latent, the sums of the gradient of z_pre without its bias. */
    const float *product_gradient() const {
        return gated() ? of_product.as<const float>() : gradients[SAE_B_ENC].as<const float>();
    }

    int64_t live_bytes() const {
        int64_t bytes = idle_batches.bytes() + idle_rows.bytes() + status_memory.bytes() + fired.bytes() +
                        of_product.bytes() + muon_memory.bytes();
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            bytes += gradients[tensor].bytes() + first[tensor].bytes() + second[tensor].bytes();
        }
        return bytes;
    }
};

/* Kept values of a batch, listed by latent. */
struct Kept {
    int64_t k;
    int *indices;     // [B, k]
    float *values;    // [B, k]
    uint32_t *order;  // [B k], as csc.h says
    uint32_t *sorted; // [B k]
    int64_t *offsets; // [m + 1]

    Kept(Carver &carver, int64_t rows, int64_t k_, int64_t d_sae)
        : k(k_), indices(carver.take<int>(rows * k)), values(carver.take<float>(rows * k)),
          order(carver.take<uint32_t>(rows * k)), sorted(carver.take<uint32_t>(rows * k)),
          offsets(carver.take<int64_t>(d_sae + 1)) {}
};

inline CscScratch csc_arrays(Carver &carver, int64_t entries, uint32_t *counts) {
    CscScratch csc;
    csc.ranks = carver.take<uint32_t>(entries);
    csc.unordered = carver.take<uint32_t>(entries);
    csc.counts = counts;
    return csc;
}

/* One step with this lr. */
void step_fused(Trainer &trainer, const StepRows &rows, double lr);
void step_plain(Trainer &trainer, const StepRows &rows, double lr);
void step_ragged(Trainer &trainer, const StepRows &rows, double lr);

/* The two halves of the plain and of the ragged step: one per part of a batch, where pending rows are those before it; and
 * one for the whole, which they share. */
void accumulate(Trainer &trainer, const StepRows &rows, int64_t pending);
void accumulate_ragged(Trainer &trainer, const StepRows &rows, int64_t pending);
void apply(Trainer &trainer, int64_t pending, double lr);

} // namespace sae::cuda
#endif
