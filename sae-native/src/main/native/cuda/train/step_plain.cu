/*
 * step_plain.cu: a training step with one kernel per formula and every gradient in memory. Its two halves also serve a
 * batch in parts: forward and backward for each part, then one update (update.cu).
 *
 * Shapes: B rows, d = d_in, m = d_sae. State: 4 (2 m d + m + d) bytes of gradients and m of fired flags, twice the
 * former of moments (half of that with moments=bf16), 16 m of counters. Scratch of a part: about
 * 4 B (4 d + 5 k + 5 aux_k) + 8 B max(k, aux_k) + 16 m bytes and the scores of one chunk.
 * HBM bytes of the gradients, per parameter: 4 written by a batch's first part, 8 read and written by each later one
 * where latents have entries; 4 read for the norm and 4 by the update. With precision=bf16 a part encodes in bfloat16;
 * all else is in float32.
 * Deterministic: every kernel is.
 */
#include "../dead/dead.h"
#include "../decode/decode.h"
#include "../encode/selection.h"
#include "../encode/shadow_copies.h"
#include "../operations.h"
#include "accumulate.h"
#include "backward.h"
#include "csc.h"
#include "losses.h"
#include "step_state.h"
#include "step_sums.h"
#include "trainer.h"
#include "update.h"

namespace sae::cuda {
namespace {

struct PartScratch {
    Staged<float> x;
    float *centred;  // [B, d]
    float *error;    // [B, d], then dL/dx_hat
    float *residual; // [B, d], then dL/d(z_aux W_dec); null without the auxiliary loss
    Kept kept;
    float *dz; // [B, k]
    Kept aux;  // width 1 and unused without the auxiliary loss
    float *aux_dz;
    Selection selection;
    IdleCounters counted; // counters if the batch ended with this part
    CscScratch csc;
    SumsScratch shared;

    PartScratch(Carver &carver, const Trainer &trainer, int64_t first, int64_t rows, const Buffer &buffer)
        : x(carver, buffer, rows * trainer.params.d_in, first * trainer.params.d_in),
          centred(carver.take<float>(trainer.params.subtract_b_dec ? rows * trainer.params.d_in : 0)),
          error(carver.take<float>(rows * trainer.params.d_in)),
          residual(trainer.aux_k > 0 ? carver.take<float>(rows * trainer.params.d_in) : nullptr),
          kept(carver, rows, trainer.k, trainer.params.d_sae), dz(carver.take<float>(rows * trainer.k)),
          aux(carver, rows, std::max<int64_t>(trainer.aux_k, 1), trainer.params.d_sae),
          aux_dz(carver.take<float>(rows * std::max<int64_t>(trainer.aux_k, 1))),
          selection(carver, trainer.params, rows, trainer.k, std::max(trainer.k, trainer.aux_k)),
          counted{carver.take<int64_t>(trainer.params.d_sae), carver.take<int64_t>(trainer.params.d_sae)},
          csc(csc_arrays(carver, rows * std::max(trainer.k, trainer.aux_k),
                         carver.take<uint32_t>(csc_counters(trainer.params.d_sae)))),
          shared(carver, trainer.params, rows) {}
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
    void forward() {
        x_ = s_.x.address;
        input_ = prepare_rows(p_, s_.selection, x_, rows_, s_.centred, &t_.status()->bad_row);
        Selection selection = s_.selection;
        selection.k = t_.k;
        select_latents(p_, selection, input_, nullptr, nullptr, s_.kept.indices, s_.kept.values);
        list(s_.kept);
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows},
                          {s_.kept.offsets, t_.fired.as<unsigned char>(), pending_ == 0}, pending_ + rows_, p_.d_sae,
                          t_.status(), t_.idle(), s_.counted, s_.shared.in_block, s_.shared.dead, stream_),
              "counting dead latents");
        check(launch_error(s_.kept.indices, s_.kept.values, rows_, t_.k, p_.tensor(SAE_W_DEC), p_.tensor(SAE_B_DEC), x_,
                           p_.d_in, s_.error, stream_),
              "reconstructing");
        if (t_.aux_k > 0) {
            selection.k = t_.aux_k;
            select_latents(p_, selection, input_, s_.shared.dead.list, s_.shared.dead.counts, s_.aux.indices,
                           s_.aux.values);
            check(launch_residual(s_.aux.indices, s_.aux.values, rows_, t_.aux_k, p_.tensor(SAE_W_DEC), s_.error,
                                  p_.d_in, s_.residual, stream_),
                  "reconstructing from dead latents");
        }
    }

    /* total = the sum of squares of a matrix, about its column means if about_means */
    void squares(const float *matrix, bool about_means, double *total) {
        if (about_means) {
            check(launch_column_sums(matrix, nullptr, rows_, p_.d_in, s_.shared.partials, s_.shared.columns, stream_),
                  "summing columns");
        }
        check(launch_squares_about(matrix, about_means ? s_.shared.columns : nullptr, rows_, p_.d_in, s_.shared.squares,
                                   total, stream_),
              "summing squares");
    }

    void losses() {
        squares(s_.error, false, &sums_->squared_error);
        squares(x_, true, &sums_->variance);
        if (t_.aux_k > 0) {
            squares(s_.residual, false, &sums_->squared_residual);
            if (t_.loss.aux_norm == SAE_AUX_RESIDUAL_VARIANCE) {
                squares(s_.error, true, &sums_->residual_variance);
            }
        }
        check(launch_count_active(s_.kept.values, rows_ * t_.k, &sums_->active, stream_), "counting kept values");
        check(launch_scales(t_.loss, rows_, p_.d_in, s_.shared.dead.counts, s_.selection.counts, pending_ == 0, sums_,
                            t_.status(), stream_),
              "adding up the loss");
        check(launch_output_gradient(sums_, t_.aux_detach, rows_ * p_.d_in, s_.error, s_.residual, stream_),
              "differentiating the loss");
    }

    void list(const Kept &kept) {
        check(launch_csc(kept.indices, kept.values, rows_, kept.k, p_.d_sae, s_.csc, kept.order, kept.sorted,
                         kept.offsets, stream_),
              "listing kept values by latent");
    }

    SparseList flow_back(const Kept &kept, const float *gradient, float *dz) {
        check(launch_latent_gradient(kept.indices, kept.values, rows_, kept.k, p_.tensor(SAE_W_DEC), gradient, p_.d_in,
                                     dz, stream_),
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
        const bool add = pending_ > 0;
        check(launch_weight_gradient(kept, aux, input_, p_.d_in, p_.d_sae, add, gradient(SAE_W_ENC),
                                     gradient(SAE_W_DEC), gradient(SAE_B_ENC), stream_),
              "differentiating weights");
        check(launch_column_sums(s_.error, nullptr, rows_, p_.d_in, s_.shared.partials, s_.shared.columns, stream_),
              "differentiating the decoder's bias");
        check(launch_put(s_.shared.columns, p_.d_in, add, gradient(SAE_B_DEC), stream_),
              "differentiating the decoder's bias");
    }

    Trainer &t_;
    const Params &p_;
    const PartScratch &s_;
    StepSums *sums_;
    const int64_t rows_;
    const int64_t pending_;
    const cudaStream_t stream_;
    const float *x_ = nullptr;
    const float *input_ = nullptr; // the encoder's input: x or x - b_dec
};

PartScratch part_scratch(const Trainer &trainer, const Buffer &x, int64_t first, int64_t rows) {
    require_size(rows, std::max(trainer.k, trainer.aux_k));
    return trainer.params.context->scratch.make<PartScratch>(trainer, first, rows, x);
}

void begin(const Trainer &trainer, const PartScratch &scratch, double lr, bool first) {
    check(launch_begin_step(lr, scratch.shared.sums, first ? trainer.status() : nullptr,
                            {scratch.csc.counts, csc_counters(trainer.params.d_sae)}, trainer.params.context->stream),
          "starting a step");
}

} // namespace

void step_plain(Trainer &trainer, Buffer &x, int64_t rows, double lr) {
    Context &context = *trainer.params.context;
    const PartScratch scratch = part_scratch(trainer, x, 0, rows);
    const float *at = scratch.x.upload();
    refresh_shadow(trainer.params);
    begin(trainer, scratch, lr, true);
    trainer.graphs.run(context, {at, rows, context.scratch.base(), context.scratch.bytes()}, [&](const Branches &) {
        Part(trainer, scratch, rows, 0).enqueue();
        enqueue_update(trainer, scratch.shared, rows);
    });
    x.mark_read();
    parameters_changed(trainer.params);
}

/* Parts are launched kernel by kernel: each part has a different address, so each would need its own graph. */
void accumulate(Trainer &trainer, Buffer &x, int64_t first, int64_t rows, int64_t pending) {
    const PartScratch scratch = part_scratch(trainer, x, first, rows);
    scratch.x.upload();
    refresh_shadow(trainer.params);
    begin(trainer, scratch, 0.0, pending == 0);
    Part(trainer, scratch, rows, pending).enqueue();
    x.mark_read();
}

void apply(Trainer &trainer, int64_t pending, double lr) {
    Context &context = *trainer.params.context;
    const auto scratch = context.scratch.make<SumsScratch>(trainer.params, int64_t{1});
    check(launch_begin_step(lr, scratch.sums, nullptr, {}, context.stream), "starting an update");
    enqueue_update(trainer, scratch, pending);
    parameters_changed(trainer.params);
}

} // namespace sae::cuda
