/*
 * step_plain.cu: a training step with one kernel per formula and every gradient in memory. Its two halves also serve a
 * batch in parts: forward and backward for each part, then one update (update.cu).
 *
 * It also trains what the fused step does not: AbsTopK, GroupMax, transcoders with d_out != d_in or a skip (skip.cu), TopK with a
 * second loss (multi_topk.cu), ranked by norm, or with a signed auxiliary loss (encode/choose_ranked.cu).
 *
 * Shapes: B rows, d = d_in = d_out, m = d_sae. State: 4 (2 m d + m + d) bytes of gradients and m of fired flags, twice the
 * former of moments (half of that with moments=bf16), 16 m of counters. Scratch of a part: about
 * 4 B (4 d + 5 k + 5 aux_k) + 8 B max(k, aux_k) + 16 m bytes and the scores of one chunk.
 * HBM bytes of the gradients, per parameter: 4 written by a batch's first part, 8 read and written by each later one
 * where latents have entries; 4 read for the norm and 4 by the update. With precision=bf16 a part encodes in bfloat16;
 * all else is in float32.
 * Deterministic: every kernel is.
 */
#include <optional>

#include "../dead/dead.h"
#include "../decode/decode.h"
#include "../encode/choose_ranked.h"
#include "../encode/groups.h"
#include "../encode/prepare_rows.h"
#include "../encode/selection.h"
#include "../encode/shadow_copies.h"
#include "../operations.h"
#include "accumulate.h"
#include "backward.h"
#include "csc.h"
#include "losses.h"
#include "multi_topk.h"
#include "penalty.h"
#include "ragged_backward.h"
#include "skip.h"
#include "step_state.h"
#include "step_sums.h"
#include "trainer.h"
#include "update.h"

namespace sae::cuda {
namespace {

struct PartScratch {
    StagedRows rows;
    float *centred;  // [B, d_in]
    float *error;    // [B, d_out], then dL/dx_hat
    float *residual; // [B, d_out], then dL/d(z_aux W_dec); null without the auxiliary loss
    Kept kept;
    float *dz; // [B, k]
    Kept aux;  // width 1 and unused without the auxiliary loss
    float *aux_dz;
    std::optional<MultiScratch> multi;
    float *norms; // [m] |W_dec[j]|; null without SAE_OPT_RANK_BY_NORM
    Selection selection;
    IdleCounters counted; // counters if the batch ended with this part
    CscScratch csc;
    SumsScratch shared;

    PartScratch(Carver &carver, const Trainer &trainer, const StepRows &of)
        : rows(carver, trainer.params, of),
          centred(carver.take<float>(trainer.params.subtract_b_dec ? of.count * trainer.params.d_in : 0)),
          error(carver.take<float>(of.count * trainer.params.d_out)),
          residual(trainer.aux_k > 0 ? carver.take<float>(of.count * trainer.params.d_out) : nullptr),
          kept(carver, of.count, trainer.k, trainer.params.d_sae), dz(carver.take<float>(of.count * trainer.k)),
          aux(carver, of.count, std::max<int64_t>(trainer.aux_k, 1), trainer.params.d_sae),
          aux_dz(carver.take<float>(of.count * std::max<int64_t>(trainer.aux_k, 1))),
          multi(multi_scratch(carver, trainer, of.count)),
          norms(trainer.rank_by_norm ? carver.take<float>(trainer.params.d_sae) : nullptr),
          selection(carver, trainer.params, of.count, listed_k(trainer), trainer.widest_choice()),
          counted{carver.take<int64_t>(trainer.params.d_sae), carver.take<int64_t>(trainer.params.d_sae)},
          csc(csc_arrays(carver, of.count * trainer.widest_choice(),
                         carver.take<uint32_t>(csc_counters(trainer.params.d_sae)))),
          shared(carver, trainer.params, of.count) {}

  private:
    static std::optional<MultiScratch> multi_scratch(Carver &carver, const Trainer &trainer, int64_t rows) {
        return trainer.multi_k() > 0 ? std::make_optional<MultiScratch>(carver, trainer, rows) : std::nullopt;
    }
    /* Of the choice among all latents; where it has no lists, of groups and by rank, all of them. */
    static int64_t listed_k(const Trainer &trainer) {
        return trainer.rule == SAE_GROUP_MAX || trainer.ranks() ? trainer.params.d_sae
                                                                : std::max(trainer.k, trainer.multi_k());
    }
};

/* Forward and backward of a part; pending rows are those of the parts before it. The phases in order, each a few
 * launches on the context's stream. */
class Part {
  public:
    Part(Trainer &trainer, const PartScratch &scratch, int64_t rows, int64_t pending)
        : t_(trainer), p_(trainer.params), s_(scratch), sums_(scratch.shared.sums), rows_(rows), pending_(pending),
          stream_(trainer.params.context->stream) {}

    void enqueue() {
        forward();
        losses();
        backward();
    }

  private:
    float *decoder() { return p_.tensor(SAE_W_DEC); }

    void prepare() {
        input_ = prepare_rows(p_, s_.selection, x_, rows_, s_.centred, &t_.status()->bad_row);
        if (s_.rows.has_target) {
            require_finite_on_device(p_, y_, rows_, p_.d_out, &t_.status()->bad_row);
        }
        if (s_.norms != nullptr) {
            check(launch_row_norms(decoder(), p_.d_sae, p_.d_out, s_.norms, stream_), "measuring the decoder");
        }
    }

    void choose() {
        if (t_.rule == SAE_GROUP_MAX) {
            choose_of_groups(p_, s_.selection, input_, rows_, t_.k, s_.kept.indices, s_.kept.values);
        } else if (t_.ranks()) {
            choose_ranked(
                p_, s_.selection, input_,
                {.ranking = t_.ranking(s_.norms), .k = t_.k, .indices = s_.kept.indices, .values = s_.kept.values});
        } else if (s_.multi) {
            const Kept &most = s_.multi->kept;
            choose_among_all(most);
            check(launch_first_of_rows(most.indices, most.values, rows_, most.k, t_.k, s_.kept.indices, s_.kept.values,
                                       stream_),
                  "choosing the top k");
            list(most);
        } else {
            choose_among_all(s_.kept);
        }
        list(s_.kept);
    }

    void choose_dead() {
        const DeadLatents &dead = s_.shared.dead;
        if (t_.ranks_dead()) {
            choose_ranked(p_, s_.selection, input_,
                          {.ranking = t_.ranking_dead(s_.norms),
                           .k = t_.aux_k,
                           .among = dead.list,
                           .n_among = dead.counts,
                           .indices = s_.aux.indices,
                           .values = s_.aux.values});
            return;
        }
        Selection selection = s_.selection;
        selection.k = t_.aux_k;
        select_latents(p_, selection, input_, dead.list, dead.counts, s_.aux.indices, s_.aux.values);
    }

    void choose_among_all(const Kept &into) {
        Selection selection = s_.selection;
        selection.k = into.k;
        select_latents(p_, selection, input_, nullptr, nullptr, into.indices, into.values);
    }

    /* e of what is kept, with the skip's part. */
    void reconstruct() {
        const bool skip = p_.has(SAE_SKIP);
        if (skip) {
            check(launch_skip_forward(p_, x_, rows_, s_.error), "multiplying by the skip");
        }
        error_of(s_.kept, skip, s_.error);
    }

    void error_of(const Kept &kept, bool add, float *error) {
        check(launch_error(kept.indices, kept.values, rows_, kept.k, decoder(), p_.tensor(SAE_B_DEC), y_, p_.d_out, add,
                           error, stream_),
              "reconstructing");
    }

    void forward() {
        prepare();
        choose();
        const Kept &fires = s_.multi ? s_.multi->kept : s_.kept;
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows},
                          {fires.offsets, t_.fired.as<unsigned char>(), pending_ == 0}, pending_ + rows_, p_.d_sae,
                          t_.status(), t_.idle(), s_.counted, s_.shared.in_block, s_.shared.dead, stream_),
              "counting dead latents");
        reconstruct();
        if (s_.multi) {
            error_of(s_.multi->kept, false, s_.multi->error);
        }
        if (t_.aux_k > 0) {
            choose_dead();
            check(launch_residual(s_.aux.indices, s_.aux.values, rows_, t_.aux_k, decoder(), s_.error, p_.d_out,
                                  s_.residual, stream_),
                  "reconstructing from dead latents");
        }
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
        squares(s_.error, false, &sums_->squared_error);
        squares(y_, true, &sums_->variance);
        SecondLoss second{};
        if (s_.multi) {
            squares(s_.multi->error, false, s_.multi->squares);
            second = {t_.multi_topk, s_.multi->squares};
        }
        if (t_.aux_k > 0) {
            squares(s_.residual, false, &sums_->squared_residual);
            if (t_.loss.aux_norm == SAE_AUX_RESIDUAL_VARIANCE) {
                squares(s_.error, true, &sums_->residual_variance);
            }
        }
        check(launch_count_active(s_.kept.values, rows_ * t_.k, &sums_->active, stream_), "counting kept values");
        check(launch_scales(t_.loss, rows_, p_.d_out, s_.shared.dead.counts, s_.selection.counts, pending_ == 0, second,
                            sums_, t_.status(), stream_),
              "adding up the loss");
        check(launch_output_gradient(sums_, t_.aux_detach, rows_ * p_.d_out, s_.error, s_.residual, stream_),
              "differentiating the loss");
        if (s_.multi) {
            const Prefixes all{1, {p_.d_sae}, {t_.multi_topk}};
            check(launch_prefix_gradients(sums_, true, all, rows_ * p_.d_out, s_.multi->error, {}, stream_),
                  "differentiating the second loss");
        }
    }

    void list(const Kept &kept) {
        check(launch_csc(kept.indices, kept.values, rows_, kept.k, p_.d_sae, s_.csc, kept.order, kept.sorted,
                         kept.offsets, stream_),
              "listing kept values by latent");
    }

    SparseList flow_back(const Kept &kept, const float *gradient, float *dz) {
        check(launch_latent_gradient(kept.indices, kept.values, rows_, kept.k, decoder(), gradient, p_.d_out, dz,
                                     stream_),
              "differentiating latents");
        return {kept.k, kept.order, kept.offsets, kept.values, dz, gradient};
    }

    float *gradient(int32_t tensor) { return t_.gradients[tensor].as<float>(); }

    void backward() {
        const SparseList kept = flow_back(s_.kept, s_.error, s_.dz);
        SparseList aux;
        if (t_.aux_k > 0) {
            list(s_.aux);
            aux = flow_back(s_.aux, s_.residual, s_.aux_dz);
        }
        SparseList second;
        if (s_.multi) {
            const Kept &most = s_.multi->kept;
            second = {most.k, most.order, most.offsets, most.values, nullptr, s_.multi->error};
        }
        const bool add = pending_ > 0;
        check(launch_weight_gradient({kept, aux, second, input_, p_.d_in, p_.d_out, p_.d_sae, add}, gradient(SAE_W_ENC),
                                     gradient(SAE_W_DEC), gradient(SAE_B_ENC), stream_),
              "differentiating weights");
        add_columns(s_.error, add);
        if (s_.multi) {
            add_columns(s_.multi->error, true);
        }
        if (p_.has(SAE_SKIP)) {
            check(launch_skip_gradient(p_, s_.error, x_, rows_, add, gradient(SAE_W_SKIP)), "differentiating the skip");
        }
    }

    void add_columns(const float *outputs, bool add) {
        check(launch_column_sums(outputs, nullptr, rows_, p_.d_out, s_.shared.partials, s_.shared.columns, stream_),
              "differentiating the decoder's bias");
        check(launch_put(s_.shared.columns, p_.d_out, add, gradient(SAE_B_DEC), stream_),
              "differentiating the decoder's bias");
    }

    Trainer &t_;
    const Params &p_;
    const PartScratch &s_;
    StepSums *sums_;
    const int64_t rows_;
    const int64_t pending_;
    const cudaStream_t stream_;
    const float *const x_ = s_.rows.x.address;
    const float *const y_ = s_.rows.target();
    const float *input_ = nullptr; // the encoder's input: x or x - b_dec
};

PartScratch part_scratch(const Trainer &trainer, const StepRows &rows) {
    require_size(rows.count, trainer.widest_choice());
    return trainer.params.context->scratch.make<PartScratch>(trainer, rows);
}

void begin(const Trainer &trainer, const PartScratch &scratch, double lr, bool first) {
    check(launch_begin_step(lr, scratch.shared.sums, first ? trainer.status() : nullptr,
                            {scratch.csc.counts, csc_counters(trainer.params.d_sae)}, trainer.params.context->stream),
          "starting a step");
}

} // namespace

void step_plain(Trainer &trainer, const StepRows &rows, double lr) {
    Context &context = *trainer.params.context;
    const PartScratch scratch = part_scratch(trainer, rows);
    scratch.rows.upload();
    refresh_shadow(trainer.params);
    begin(trainer, scratch, lr, true);
    const auto key = step_key(scratch.rows, rows.count, trainer.k, context.scratch);
    trainer.graphs.run(context, key, [&](const Branches &) {
        Part(trainer, scratch, rows.count, 0).enqueue();
        enqueue_update(trainer, scratch.shared, rows.count);
    });
    rows.mark_read();
    parameters_changed(trainer.params);
}

/* Parts are launched kernel by kernel: each part has a different address, so each would need its own graph. */
void accumulate(Trainer &trainer, const StepRows &rows, int64_t pending) {
    const PartScratch scratch = part_scratch(trainer, rows);
    scratch.rows.upload();
    refresh_shadow(trainer.params);
    begin(trainer, scratch, 0.0, pending == 0);
    Part(trainer, scratch, rows.count, pending).enqueue();
    rows.mark_read();
}

void apply(Trainer &trainer, int64_t pending, double lr) {
    Context &context = *trainer.params.context;
    const auto scratch = context.scratch.make<SumsScratch>(trainer.params, int64_t{1});
    check(launch_begin_step(lr, scratch.sums, nullptr, {}, context.stream), "starting an update");
    enqueue_update(trainer, scratch, pending);
    parameters_changed(trainer.params);
}

} // namespace sae::cuda
