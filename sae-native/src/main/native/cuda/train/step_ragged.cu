/*
 * step_ragged.cu: a training step of a rule whose rows are ragged: BatchTopK with prefixes (Matryoshka), ReLU, JumpReLU,
 * gated. One kernel per formula and every gradient in memory, as in the plain step, whose update it shares (update.cu); so
 * it also serves a batch in parts.
 *
 * Shapes: B rows, m = d_sae. Scratch of a part: ragged_scratch.h. The gradients' bytes are those of the plain step
 * (step_plain.cu); what the entries cost is in the files of the kernels. With precision=bf16 a part encodes in bfloat16; all
 * else is in float32. The host waits once for the number of entries (ragged_forward.cu), so a step is not a graph.
 * Deterministic: every kernel is. Not yet run on a GPU.
 */
#include "../decode/decode.h"
#include "../decode/ragged_error.h"
#include "accumulate.h"
#include "gates.h"
#include "losses.h"
#include "penalty.h"
#include "ragged_backward.h"
#include "ragged_counts.h"
#include "ragged_forward.h"
#include "ragged_losses.h"
#include "skip.h"
#include "step_sums.h"

namespace sae::cuda {
namespace {

/* Forward and backward of a part; pending rows are those of the parts before it. The phases in order, each a few
 * launches on the context's stream. */
class RaggedPart {
  public:
    RaggedPart(Trainer &trainer, const RaggedForward &forward, int64_t pending)
        : t_(trainer), p_(trainer.params), f_(forward), s_(forward.scratch), sums_(s_.shared.sums),
          rows_(forward.batch.rows), pending_(pending), stream_(trainer.params.context->stream) {}

    void enqueue() {
        list();
        reconstruct();
        losses();
        differentiate_entries();
        sum_up();
        differentiate_weights();
        differentiate_own();
    }

  private:
    bool thresholds() const { return t_.trains(SAE_THRESHOLD); }
    bool norms() const { return s_.norms != nullptr; }
    int64_t levels() const { return t_.aux_levels.count; }
    bool adds() const { return pending_ > 0; }
    const float *decoder() const { return p_.tensor(SAE_W_DEC); }
    float *gradient(int32_t tensor) { return t_.gradients[tensor].as<float>(); }

    /* By latent; what fired, and which latents are dead. */
    void list() {
        check(launch_ragged_csc(f_.batch.indices, f_.batch.row_of, f_.batch.entries, rows_, p_.d_sae, s_.csc, s_.order,
                                s_.offsets, stream_),
              "listing entries by latent");
        auto *fired = t_.fired.as<unsigned char>();
        check(launch_mark_fired(f_.batch, lists_, p_.d_sae, !adds(), fired, stream_), "recording what fired");
        check(launch_count_rows(f_.batch, s_.active, s_.least, sums_, s_.ragged, stream_), "counting what fired");
        if (s_.rank != nullptr) { // from here on values are z
            check(launch_unrank(f_.batch.indices, s_.rank, f_.batch.entries, s_.values, stream_), "restoring values");
        }
        if (s_.aux) {
            check(launch_dead({t_.dead_after_batches, t_.dead_after_rows}, {nullptr, fired, false}, pending_ + rows_,
                              p_.d_sae, t_.status(), t_.idle(), s_.aux->counted, s_.shared.in_block, s_.shared.dead,
                              stream_),
                  "counting dead latents");
            check(
                launch_level_starts(s_.shared.dead.list, s_.shared.dead.counts, t_.aux_levels, s_.aux->starts, stream_),
                "counting dead latents by level");
        }
    }

    void reconstruct() {
        if (p_.has(SAE_SKIP)) {
            check(launch_skip_forward(p_, f_.x, rows_, s_.errors), "multiplying by the skip");
        }
        check(launch_ragged_error(f_.batch, f_.batch.values, t_.prefixes, decoder(), p_.tensor(SAE_B_DEC), f_.y,
                                  p_.d_out, p_.has(SAE_SKIP), s_.errors, stream_),
              "reconstructing");
        if (s_.gates) {
            check(launch_ragged_error(f_.batch, s_.gates->gate, t_.prefixes, decoder(), p_.tensor(SAE_B_DEC), f_.y,
                                      p_.d_out, false, s_.gates->error, stream_),
                  "reconstructing from gates");
        }
        if (s_.aux) {
            choose_dead();
            check(launch_residual(s_.aux->kept.indices, s_.aux->kept.values, levels() * rows_, t_.aux_k, decoder(),
                                  aux_errors_, p_.d_out, s_.aux->residual, stream_),
                  "reconstructing from dead latents");
        }
    }

    void choose_dead() {
        const DeadLatents &dead = s_.shared.dead;
        const Kept &into = s_.aux->kept;
        if (t_.ranks_dead()) {
            choose_ranked(p_, s_.selection, f_.input,
                          {.ranking = t_.ranking_dead(s_.rank),
                           .k = t_.aux_k,
                           .among = dead.list,
                           .n_among = dead.counts,
                           .starts = s_.aux->starts,
                           .levels = levels(),
                           .indices = into.indices,
                           .values = into.values});
            return;
        }
        Selection selection = s_.selection;
        selection.k = t_.aux_k;
        select_latents(p_, selection, f_.input, dead.list, dead.counts, into.indices, into.values);
    }

    /* total = the sum of squares of a matrix, about its column means if about_means */
    void squares(const float *matrix, bool about_means, double *total) {
        if (about_means) {
            check(launch_column_sums(matrix, nullptr, rows_, p_.d_out, s_.shared.partials, s_.shared.columns, stream_),
                  "summing columns");
        }
        check(launch_squares_about(matrix, about_means ? s_.shared.columns : nullptr, rows_, p_.d_out,
                                   s_.shared.squares, total, stream_),
              "summing squares");
    }

    void losses() {
        for (int prefix = 0; prefix < t_.prefixes.count; prefix++) {
            squares(s_.errors + prefix * rows_ * p_.d_out, false, s_.ragged->prefix_squares + prefix);
        }
        squares(f_.y, true, &sums_->variance);
        if (s_.gates) {
            squares(s_.gates->error, false, &s_.ragged->gate_squares);
        }
        for (int level = 0; level < losses_.levels; level++) {
            const int64_t at = level * rows_ * p_.d_out;
            squares(s_.aux->residual + at, false, s_.ragged->residual_squares + level);
            if (t_.loss.aux_norm == SAE_AUX_RESIDUAL_VARIANCE) {
                squares(aux_errors_ + at, true, s_.ragged->residual_variance + level);
            }
        }
        check(launch_ragged_scales(losses_, stream_), "scaling the loss");
        const Residuals residuals{losses_.levels, s_.ragged->aux_scale, s_.aux ? s_.aux->residual : nullptr};
        check(
            launch_prefix_gradients(sums_, t_.aux_detach, t_.prefixes, rows_ * p_.d_out, s_.errors, residuals, stream_),
            "differentiating the loss");
        if (s_.gates) {
            check(launch_prefix_gradients(sums_, true, t_.prefixes, rows_ * p_.d_out, s_.gates->error, {}, stream_),
                  "differentiating the gates' loss");
        }
    }

    /* dL/dz_pre of every entry, and what else an entry has a gradient for. */
    void differentiate_entries() {
        check(launch_entry_gradient(f_.batch, t_.prefixes, s_.errors, decoder(), p_.d_out, s_.dz, stream_),
              "differentiating latents");
        if (norms()) {
            check(launch_row_norms(decoder(), p_.d_sae, p_.d_out, s_.norms, stream_), "measuring the decoder");
        }
        if (s_.gates) {
            check(launch_entry_gradient(f_.batch, t_.prefixes, s_.gates->error, decoder(), p_.d_out, s_.gates->dgate,
                                        stream_),
                  "differentiating gates");
            check(launch_gates({f_.batch, t_.penalty.sparsity == SAE_SPARSITY_L1, s_.norms, p_.tensor(SAE_R_MAG),
                                p_.tensor(SAE_B_ENC), s_.ragged, s_.gates->gate, s_.dz, s_.gates->dgate, s_.gates->dmag,
                                s_.gates->dr, s_.dnorm, s_.terms},
                               stream_),
                  "differentiating gates");
        } else if (t_.rule == SAE_THRESHOLD_RULE) {
            check(launch_penalise({f_.batch, t_.penalty, thresholds() ? p_.tensor(SAE_THRESHOLD) : nullptr, s_.norms,
                                   s_.active, sums_, s_.ragged, s_.dz, s_.dtheta, s_.dnorm, s_.terms},
                                  stream_),
                  "differentiating the sparsity term");
        }
    }

    void sum_up() {
        if (t_.rule == SAE_THRESHOLD_RULE) {
            check(launch_total(s_.terms, rows_, &s_.ragged->sparsity, stream_), "adding up the sparsity term");
        }
        check(launch_ragged_totals(losses_, stream_), "adding up the loss");
    }

    /* The auxiliary entries by latent, with their gradients. */
    SparseList flow_back_aux() {
        if (!s_.aux) {
            return {};
        }
        const Kept &kept = s_.aux->kept;
        check(launch_csc(kept.indices, kept.values, levels() * rows_, kept.k, p_.d_sae, s_.csc, kept.order, kept.sorted,
                         kept.offsets, stream_),
              "listing dead latents' values");
        check(launch_latent_gradient(kept.indices, kept.values, levels() * rows_, kept.k, decoder(), s_.aux->residual,
                                     p_.d_out, s_.aux->dz, stream_),
              "differentiating dead latents");
        return {kept.k, kept.order, kept.offsets, kept.values, s_.aux->dz, s_.aux->residual};
    }

    void differentiate_weights() {
        aux_ = flow_back_aux();
        if (norms()) {
            check(launch_latent_sums(lists_, s_.dnorm, p_.d_sae, s_.of_norm, stream_), "differentiating norms");
        }
        const bool gates_decode = s_.gates && !t_.gate_detach;
        const RaggedWeights weights{
            .batch = f_.batch,
            .lists = lists_,
            .prefixes = t_.prefixes,
            .gradients = s_.errors,
            .dz = s_.dz,
            .gate = gates_decode ? s_.gates->gate : nullptr,
            .gate_gradient = gates_decode ? s_.gates->error : nullptr,
            .dnorm = s_.of_norm,
            .norms = s_.norms,
            .w_dec = decoder(),
            .aux = aux_,
            .levels = t_.aux_levels,
            .input = f_.input,
            .d_in = p_.d_in,
            .d_out = p_.d_out,
            .d_sae = p_.d_sae,
            .add = adds(),
        };
        check(launch_ragged_weight_gradient(weights, gradient(SAE_W_ENC), gradient(SAE_W_DEC), stream_),
              "differentiating weights");
        add_columns(s_.errors, adds());
        if (p_.has(SAE_SKIP)) {
            check(launch_skip_gradient(p_, s_.errors, f_.x, rows_, adds(), gradient(SAE_W_SKIP)),
                  "differentiating the skip");
        }
        if (gates_decode) {
            add_columns(s_.gates->error, true);
        }
    }

    void add_columns(const float *outputs, bool add) {
        check(launch_column_sums(outputs, nullptr, rows_, p_.d_out, s_.shared.partials, s_.shared.columns, stream_),
              "differentiating the decoder's bias");
        check(launch_put(s_.shared.columns, p_.d_out, add, gradient(SAE_B_DEC), stream_),
              "differentiating the decoder's bias");
    }

    /* The gradients of what a latent has one number of. */
    void differentiate_own() {
        const auto sum = [&](const float *terms, const SparseList &aux, float *into) {
            check(launch_latent_sums(lists_, terms, aux, p_.d_sae, adds(), into, stream_), "differentiating latents");
        };
        if (s_.gates) {
            sum(s_.dz, {}, t_.of_product.as<float>());
            sum(s_.gates->dgate, {}, gradient(SAE_B_ENC));
            sum(s_.gates->dr, {}, gradient(SAE_R_MAG));
            sum(s_.gates->dmag, {}, gradient(SAE_B_MAG));
            return;
        }
        sum(s_.dz, aux_, gradient(SAE_B_ENC));
        if (thresholds()) {
            check(launch_latent_sums(lists_, s_.dtheta, p_.d_sae, s_.of_theta, stream_), "differentiating thresholds");
            if (t_.penalty.sparsity == SAE_SPARSITY_L0_OF_BATCH) {
                check(launch_near_zero(f_.batch, lists_, p_.d_sae, t_.penalty, p_.tensor(SAE_THRESHOLD), s_.ragged,
                                       s_.of_theta, stream_),
                      "differentiating thresholds");
            }
            check(launch_put(s_.of_theta, p_.d_sae, adds(), gradient(SAE_THRESHOLD), stream_),
                  "differentiating thresholds");
        }
    }

    Trainer &t_;
    const Params &p_;
    const RaggedForward &f_;
    const RaggedScratch &s_;
    StepSums *sums_;
    const int64_t rows_;
    const int64_t pending_;
    const cudaStream_t stream_;
    const RaggedLists lists_{s_.order, s_.offsets};
    const float *aux_errors_ = s_.errors + (t_.prefixes.count - levels()) * rows_ * p_.d_out; // [levels, B, d_out]
    const RaggedLosses losses_{
        .rows = rows_,
        .d_out = p_.d_out,
        .loss = t_.loss,
        .penalty = t_.penalty,
        .prefixes = t_.prefixes,
        .gated = t_.gated(),
        .first = !adds(),
        .levels = s_.aux ? t_.aux_levels.count : 0,
        .starts = s_.aux ? s_.aux->starts : nullptr,
        .sums = sums_,
        .ragged = s_.ragged,
        .status = t_.status(),
    };
    SparseList aux_;
};

/* Forward and backward, of a whole batch or of a part. */
RaggedForward differentiate(Trainer &trainer, const StepRows &rows, int64_t pending, double lr) {
    const RaggedForward forward = forward_ragged(trainer, rows);
    const RaggedScratch &scratch = forward.scratch;
    check(launch_begin_step(lr, scratch.shared.sums, pending == 0 ? trainer.status() : nullptr,
                            {scratch.csc.counts, csc_counters(trainer.params.d_sae)}, trainer.params.context->stream),
          "starting a step");
    RaggedPart(trainer, forward, pending).enqueue();
    rows.mark_read();
    return forward;
}

} // namespace

void step_ragged(Trainer &trainer, const StepRows &rows, double lr) {
    const RaggedForward forward = differentiate(trainer, rows, 0, lr);
    enqueue_update(trainer, forward.scratch.shared, rows.count);
    parameters_changed(trainer.params);
}

void accumulate_ragged(Trainer &trainer, const StepRows &rows, int64_t pending) {
    differentiate(trainer, rows, pending, 0.0);
}

} // namespace sae::cuda
