/*
 * step_plain.cu: a training step with a kernel for each formula and every gradient in memory.
 *
 * Shapes: B rows, d = d_in, m = d_sae. State: 4 (2 m d + m + d) bytes of gradients, twice that of moments, 16 m of
 * counters. Scratch of a step: about 4 B (4 d + 5 k + 5 aux_k) + 8 B max(k, aux_k) bytes and the scores of one chunk.
 * Deterministic: every kernel is.
 */
#include "trainer.h"

namespace sae::cuda {
namespace {

struct PlainScratch {
    Staged<float> x;
    float *centred;  // [B, d]
    float *error;    // [B, d], then dL/dx_hat
    float *residual; // [B, d], then dL/d(z_aux W_dec); null without the auxiliary loss
    Kept kept;
    float *dz; // [B, k]
    Kept aux;  // of width 1 and unused without the auxiliary loss
    float *aux_dz;
    Selection selection;
    DeadLatents dead; // one part
    int *in_block;
    StepSums *sums;   // [1]
    double *partials; // column sums of up to max(B, m) rows
    double *columns;  // [2, d]
    double *squares;  // [B] of rows; then of gradients
    CscScratch csc;

    PlainScratch(Carver &carver, const Trainer &trainer, int64_t rows, int64_t sort_bytes, const Buffer &buffer)
        : x(carver, buffer, rows * trainer.params.d_in),
          centred(carver.take<float>(trainer.params.subtract_b_dec ? rows * trainer.params.d_in : 0)),
          error(carver.take<float>(rows * trainer.params.d_in)),
          residual(trainer.aux_k > 0 ? carver.take<float>(rows * trainer.params.d_in) : nullptr),
          kept(carver, rows, trainer.k, trainer.params.d_sae), dz(carver.take<float>(rows * trainer.k)),
          aux(carver, rows, std::max<int64_t>(trainer.aux_k, 1), trainer.params.d_sae),
          aux_dz(carver.take<float>(rows * std::max<int64_t>(trainer.aux_k, 1))),
          selection(carver, trainer.params, rows, trainer.k, std::max(trainer.k, trainer.aux_k)),
          dead{carver.take<int>(trainer.params.d_sae), carver.take<int>(trainer.params.d_sae), carver.take<int>(2),
               trainer.params.d_sae, 1},
          in_block(carver.take<int>(divide_up(trainer.params.d_sae, kThreads))), sums(carver.take<StepSums>(1)),
          partials(carver.take<double>(column_scratch(std::max(rows, trainer.params.d_sae), trainer.params.d_in))),
          columns(carver.take<double>(2 * trainer.params.d_in)),
          squares(carver.take<double>(std::max(rows, kTensors * kSquareBlocks))) {
        csc = csc_arrays(carver, rows * std::max(trainer.k, trainer.aux_k), sort_bytes);
    }
};

/* One step: the phases in order, each a few launches on the context's stream. */
class PlainStep {
  public:
    PlainStep(Trainer &trainer, const PlainScratch &scratch, int64_t rows)
        : t_(trainer), p_(trainer.params), s_(scratch), rows_(rows), stream_(trainer.params.context->stream) {}

    void enqueue() {
        forward();
        losses();
        backward();
        update();
    }

  private:
    void forward() {
        x_ = s_.x.address;
        input_ = prepare_rows(p_, s_.selection, x_, rows_, s_.centred, &t_.status()->bad_row);
        Selection selection = s_.selection;
        selection.k = t_.k;
        select_latents(p_, selection, input_, nullptr, nullptr, s_.kept.indices, s_.kept.values);
        list(s_.kept);
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows}, s_.kept.offsets, rows_, p_.d_sae, t_.status(),
                          t_.idle_batches.as<int64_t>(), t_.idle_rows.as<int64_t>(), s_.in_block, s_.dead, stream_),
              "counting dead latents");
        check(launch_error(s_.kept.indices, s_.kept.values, rows_, t_.k, p_.tensor(SAE_W_DEC), p_.tensor(SAE_B_DEC), x_,
                           p_.d_in, s_.error, stream_),
              "reconstructing");
        if (t_.aux_k > 0) {
            selection.k = t_.aux_k;
            select_latents(p_, selection, input_, s_.dead.list, s_.dead.counts, s_.aux.indices, s_.aux.values);
            check(launch_residual(s_.aux.indices, s_.aux.values, rows_, t_.aux_k, p_.tensor(SAE_W_DEC), s_.error,
                                  p_.d_in, s_.residual, stream_),
                  "reconstructing from dead latents");
        }
    }

    /* total = the sum of squares of a matrix, about its column means if asked */
    void squares(const float *matrix, bool about_means, double *total) {
        if (about_means) {
            check(launch_column_sums(matrix, nullptr, rows_, p_.d_in, s_.partials, s_.columns, stream_),
                  "summing columns");
        }
        check(launch_squares_about(matrix, about_means ? s_.columns : nullptr, rows_, p_.d_in, s_.squares, total,
                                   stream_),
              "summing squares");
    }

    void losses() {
        squares(s_.error, false, &s_.sums->squared_error);
        squares(x_, true, &s_.sums->variance);
        if (t_.aux_k > 0) {
            squares(s_.residual, false, &s_.sums->squared_residual);
            if (t_.loss.aux_norm == SAE_AUX_RESIDUAL_VARIANCE) {
                squares(s_.error, true, &s_.sums->residual_variance);
            }
        }
        check(launch_count_active(s_.kept.values, rows_ * t_.k, &s_.sums->active, stream_), "counting kept values");
        check(launch_scales(t_.loss, rows_, p_.d_in, s_.dead.counts, s_.sums, t_.status(), stream_),
              "adding up the loss");
        check(launch_output_gradient(s_.sums, t_.aux_detach, rows_ * p_.d_in, s_.error, s_.residual, stream_),
              "differentiating the loss");
    }

    void list(const Kept &kept) {
        check(launch_csc(kept.indices, kept.values, rows_ * kept.k, p_.d_sae, s_.csc, kept.order, kept.sorted,
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
        check(launch_weight_gradient(kept, aux, input_, p_.d_in, p_.d_sae, gradient(SAE_W_ENC), gradient(SAE_W_DEC),
                                     gradient(SAE_B_ENC), stream_),
              "differentiating weights");
        double *outputs = s_.columns;
        double *through_encoder = p_.subtract_b_dec ? s_.columns + p_.d_in : nullptr;
        check(launch_column_sums(s_.error, nullptr, rows_, p_.d_in, s_.partials, outputs, stream_),
              "differentiating the decoder's bias");
        if (through_encoder != nullptr) {
            check(launch_column_sums(p_.tensor(SAE_W_ENC), gradient(SAE_B_ENC), p_.d_sae, p_.d_in, s_.partials,
                                     through_encoder, stream_),
                  "differentiating the encoder's input");
        }
        check(launch_decoder_bias_gradient(outputs, through_encoder, p_.d_in, gradient(SAE_B_DEC), stream_),
              "differentiating the decoder's bias");
    }

    void update() {
        int64_t partials = 0;
        for (int32_t tensor = 0; tensor < kTensors && t_.adam.clip_norm > 0.0; tensor++) {
            if (t_.trains(tensor)) {
                check(launch_squares(gradient(tensor), p_.elements(tensor), s_.squares + partials, stream_),
                      "measuring the gradient");
                partials += kSquareBlocks;
            }
        }
        check(launch_prepare_update(s_.squares, partials, t_.adam, s_.sums, t_.status(), stream_),
              "preparing the update");
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (!t_.trains(tensor)) {
                continue;
            }
            float *first = t_.first[tensor].as<float>();
            float *second = t_.second[tensor].as<float>();
            check(tensor == SAE_W_DEC ? launch_update_decoder(gradient(tensor), p_.d_in, p_.d_sae, t_.adam, s_.sums,
                                                              t_.status(), p_.tensor(tensor), first, second, stream_)
                                      : launch_update(gradient(tensor), p_.elements(tensor), t_.adam, s_.sums,
                                                      t_.status(), p_.tensor(tensor), first, second, stream_),
                  "updating parameters");
        }
    }

    Trainer &t_;
    const Params &p_;
    const PlainScratch &s_;
    const int64_t rows_;
    const cudaStream_t stream_;
    const float *x_ = nullptr;
    const float *input_ = nullptr; // what the encoder sees: x or x - b_dec
};

} // namespace

void step_plain(Trainer &trainer, Buffer &x, int64_t rows, double lr) {
    Context &context = *trainer.params.context;
    const int64_t d_sae = trainer.params.d_sae;
    const int64_t bytes =
        std::max(sort_bytes(rows, trainer.k, d_sae), sort_bytes(rows, std::max<int64_t>(trainer.aux_k, 1), d_sae));
    const auto scratch = context.scratch.make<PlainScratch>(trainer, rows, bytes, x);
    const float *at = scratch.x.upload();
    refresh_shadow(trainer.params);
    check(launch_begin_step(lr, scratch.sums, trainer.status(), context.stream), "beginning a step");
    trainer.graphs.run(context, {at, rows, context.scratch.base(), context.scratch.bytes()},
                       [&] { PlainStep(trainer, scratch, rows).enqueue(); });
    x.mark_read();
    trainer.params.weight_squares_stale = true;
    mark_changed(trainer.params);
}

} // namespace sae::cuda
