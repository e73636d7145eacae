/*
 * step_fused.cu: a training step in which the weights' gradient never reaches memory.
 *
 *   1. batch:    finite check, x - b_dec, variance of x                                        (batch.cu)
 *   2. encode:   the top k of every row                                                        (encode_topk.cu)
 *   3. lists:    kept values by latent, idle counters, dead latents                            (csc.cu, dead.cu)
 *   4. aux:      the top aux_k among the dead, and their reconstruction   (choose_dead.cu, aux_dense.cu, aux_bf16.cu)
 *   5. forward:  decode, error, losses, output gradient, dz                                    (forward.cu)
 *   6. decide:   statistics; whether clipping is ruled out                               (lists.cu, decide.cuh)
 *   7. norm:     the rows' gradients for their norm only, unless clipping is ruled out         (row_update.cu)
 *   8. update:   the rows' gradients (again), projection, Adam, norm, copies of the weights in bf16
 *   9. finish:   b_dec, the norm, bounds of the new W_enc                                             (finish.cu)
 * What 4, 7 and 8 launch for dead latents or for the norm are branches of the step's graph (step_graph.h).
 *
 * Shapes: B rows, d = d_in, m = d_sae, G = groups of latents <= 8192, S = slices of columns. State besides the
 * parameters: 8 bytes per parameter of moments (4 with moments=bf16) and 16 m of counters. Scratch: about 4 B
 * (3 d + (6 + S) k + 2 aux_k), 4 d (G + B k / 64), kDenseBytes for the dead and the scores of one chunk. HBM bytes of
 * an update: 24 per parameter, 2 for a copy in bf16. With precision=bf16, W_dec, g and the encoder's input are gathered
 * in bf16, and the dead latents' products have bf16 operands (aux_bf16.cu), for 6 B d bytes more scratch; sums, master
 * weights and moments stay float32.
 * Deterministic: every kernel is.
 */
#include "../dead/aux_bf16.h"
#include "../dead/aux_dense.h"
#include "../dead/choose_dead.h"
#include "../dead/dead.h"
#include "../decode/forward.h"
#include "../encode/selection.h"
#include "../encode/shadow.h"
#include "../encode/shadow_copies.h"
#include "../operations.h"
#include "batch.h"
#include "csc.h"
#include "finish.h"
#include "fused_scratch.h"
#include "lists.h"
#include "row_update.h"
#include "step_state.h"
#include "step_sums.h"
#include "trainer.h"

namespace sae::cuda {
namespace {

/* One step: the phases in order, each a few launches on the context's stream. */
class FusedStep {
  public:
    FusedStep(Trainer &trainer, const FusedScratch &scratch, int64_t rows, const Branches &branches)
        : t_(trainer), p_(trainer.params), s_(scratch), branches_(branches), rows_(rows), x_(scratch.rows.x.address),
          y_(scratch.rows.target()), input_(p_.subtract_b_dec ? scratch.centred : x_),
          n_dead_(trainer.aux_k > 0 ? scratch.dead.counts : nullptr), decoder_(gathered_decoder(p_)),
          dead_bf16_(scratch.aux.dead) {
        dead_bf16_.n_dead = n_dead_;
        dead_bf16_.decoder = decoder_;
        dead_bf16_.input = scratch.selection.rounded.rounded;
    }

    void enqueue() {
        const bool clips = t_.adam.clip_norm > 0.0;
        DeadBranches dead;
        for (int tier = 0; tier < tiers(); tier++) {
            dead.reconstruct[tier] = branches_.condition();
            dead.update[tier] = branches_.condition();
        }
        const Condition norm = clips ? branches_.condition() : Condition{};
        encode(dead);
        for (int tier = 0; tier < tiers(); tier++) {
            branches_.run(dead.reconstruct[tier], [&] { reconstruct_dead(tier); });
        }
        forward(norm);
        if (clips) {
            branches_.run(norm, [&] { measure_norm(); });
        }
        update_live(false);
        for (int tier = 0; tier < tiers(); tier++) {
            branches_.run(dead.update[tier], [&] { update_dead(tier, false); });
        }
        finish(false);
    }

  private:
    /* A branch has a stream of its own. */
    cudaStream_t stream() const { return p_.context->stream; }

    /* Of dead latents; 0 without the auxiliary loss. */
    int tiers() const {
        int count = 0;
        while (t_.aux_k > 0 && first_part(s_.dead, count) < s_.dead.parts) {
            count++;
        }
        return count;
    }

    void measure_norm() const {
        update_live(true);
        if (t_.aux_k > 0) {
            check(launch_gate_dead(&s_.sums->needs_norm, s_.dead, stream()), "counting dead latents");
        }
        for (int tier = 0; tier < tiers(); tier++) {
            update_dead(tier, true);
        }
        finish(true);
    }

    void encode(const DeadBranches &branches) {
        const BatchRows batch{
            .x = x_,
            .b_dec = p_.subtract_b_dec ? p_.tensor(SAE_B_DEC) : nullptr,
            .rows = rows_,
            .d_in = p_.d_in,
            .centred = p_.subtract_b_dec ? s_.centred : nullptr,
            .bad_row = &t_.status()->bad_row,
            .loss = t_.loss,
            .sums = s_.sums,
            .partials = s_.batch_partials,
            .arrived = s_.arrived(p_),
        };
        check(launch_prepare_batch(batch, stream()), "preparing rows");
        if (s_.rows.has_target) {
            prepare_target(batch);
        }
        round_rows(p_, s_.selection, input_, rows_, &t_.status()->bad_row);
        Selection selection = s_.selection;
        selection.k = t_.k;
        select_latents(p_, selection, input_, nullptr, nullptr, s_.kept.indices, s_.kept.values);
        check(launch_csc(s_.kept.indices, s_.kept.values, rows_, t_.k, p_.d_sae, s_.csc, s_.kept.order, s_.kept.sorted,
                         s_.kept.offsets, stream()),
              "listing kept values by latent");
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows}, {s_.kept.offsets, nullptr, true}, rows_,
                          p_.d_sae, t_.status(), t_.idle(), t_.idle(), s_.in_block, s_.dead, stream(), branches),
              "counting dead latents");
    }

    void prepare_target(BatchRows target) const {
        target.x = y_;
        target.b_dec = nullptr;
        target.centred = nullptr;
        target.sums = s_.of_target;
        check(launch_prepare_target(target, s_.sums, stream()), "preparing targets");
    }

    /* gated: no latents if the gradient's norm is not needed */
    DensePart part(int64_t number, bool gated) const {
        const int64_t first = number * s_.dead.part;
        const int *counts = s_.dead.counts + 1 + (gated ? s_.dead.parts : 0);
        return {first, s_.dead.part, counts + number, s_.dead.list + first};
    }

    void scatter(const DensePart &part) const {
        const auto scatter_to = [&](auto *z) {
            return launch_scatter(part, s_.aux.indices, s_.aux.values, rows_, t_.aux_k, s_.dead.rank, z, stream());
        };
        check(decoder_.bf16 ? scatter_to(dead_bf16_.z) : scatter_to(s_.aux.z), "scattering dead latents");
    }

    cudaError_t reconstruct(const DensePart &part) const {
        return decoder_.bf16 ? launch_reconstruct_dead(*p_.context, dead_bf16_, part, s_.aux.gradient)
                             : launch_reconstruct_dead(*p_.context, part, s_.aux.z, p_.tensor(SAE_W_DEC), rows_,
                                                       p_.d_in, s_.aux.gradient);
    }

    void reconstruct_dead(int tier) {
        if (tier == 0) {
            choose_dead(p_, s_.aux, s_.dead, rows_, input_, s_.selection.rounded);
        }
        for (int64_t number = first_part(s_.dead, tier); number < first_part(s_.dead, tier + 1); number++) {
            scatter(part(number, false));
            check(reconstruct(part(number, false)), "reconstructing from dead latents");
        }
    }

    void forward(const Condition &norm) {
        const ForwardInputs in{
            .rows = rows_,
            .k = t_.k,
            .d_in = p_.d_in,
            .slices = s_.slices,
            .indices = s_.kept.indices,
            .values = s_.kept.values,
            .w_dec = decoder_,
            .b_dec = p_.tensor(SAE_B_DEC),
            .x = y_,
            .n_dead = n_dead_,
            .sums = s_.sums,
            .loss = t_.loss,
            .detach = t_.aux_detach,
        };
        const ForwardOutputs out{
            .gradient = s_.gradient,
            .rounded = s_.rounded_gradient,
            .aux_gradient = s_.aux.gradient,
            .dz_parts = s_.dz_parts,
            .squares = s_.squares,
        };
        check(launch_forward(in, out, stream()), "reconstructing");
        const ListInputs list{
            .entries = rows_ * t_.k,
            .k = t_.k,
            .d_in = p_.d_in,
            .d_sae = p_.d_sae,
            .slices = s_.slices,
            .order = s_.kept.order,
            .sorted = s_.kept.sorted,
            .offsets = s_.kept.offsets,
            .values = s_.kept.values,
            .dz_parts = s_.dz_parts,
            .aux_values = s_.aux.values,
            .aux_entries = rows_ * t_.aux_k,
            .n_dead = n_dead_,
            .forward_squares = s_.squares,
            .forward_blocks = rows_ * s_.slices,
            .gradient = gradient(),
            .input = input(),
        };
        const Decision decision{
            .rows = rows_,
            .active = s_.kept.offsets + p_.d_sae,
            .counts = s_.selection.counts,
            .n_dead = s_.dead.counts,
            .bound =
                {
                    .subtract_b_dec = p_.subtract_b_dec,
                    .train_decoder = t_.trains(SAE_W_DEC),
                    .train_b_enc = t_.train_b_enc,
                    .weight_squares = p_.weight_squares.as<double>(),
                },
            .loss = t_.loss,
            .adam = t_.adam,
            .sums = s_.sums,
            .status = t_.status(),
            .measure_norm = norm,
        };
        check(launch_lists(list, s_.lists, decision, s_.collected, s_.arrived(p_), stream()), "collecting the lists");
    }

    /* What the weight gradients gather; bf16 with precision=bf16. */
    Gathered gradient() const {
        return decoder_.bf16 ? Gathered{s_.rounded_gradient, decoder_.stride, true}
                             : Gathered{s_.gradient, p_.d_in, false};
    }
    Gathered input() const {
        return decoder_.bf16 ? Gathered{s_.selection.rounded.rounded, decoder_.stride, true}
                             : Gathered{input_, p_.d_in, false};
    }

    MatrixState matrix(int32_t tensor) const {
        return {p_.tensor(tensor), t_.first[tensor].as<void>(), t_.second[tensor].as<void>()};
    }

    RowUpdate row_update(bool norm_only) const {
        return {
            .d_in = p_.d_in,
            .d_sae = p_.d_sae,
            .group = s_.group,
            .groups = s_.groups,
            .offsets = s_.kept.offsets,
            .lists = s_.lists,
            .gradient = gradient(),
            .input = input(),
            .dense = {},
            .dead_rank = t_.aux_k > 0 ? s_.dead.rank : nullptr,
            .encoder = matrix(SAE_W_ENC),
            .decoder = matrix(SAE_W_DEC),
            .b_enc = matrix(SAE_B_ENC),
            .shadow = shadow_view(p_),
            .rounded_decoder = p_.rounded_decoder.rows.as<uint16_t>(),
            .train_decoder = t_.trains(SAE_W_DEC),
            .train_b_enc = t_.train_b_enc,
            .norm_only = norm_only,
            .adam = t_.adam,
            .sums = s_.sums,
            .status = t_.status(),
            .by_group = s_.by_group,
            .through = s_.through,
        };
    }

    void run(const RowUpdate &update, int64_t latents) const {
        check(launch_row_update(update, t_.narrow_moments(SAE_W_ENC), latents, stream()), "updating weights");
    }

    void update_live(bool norm_only) const { run(row_update(norm_only), p_.d_sae); }

    void update_dead(int tier, bool norm_only) const {
        if (tier == 0 && decoder_.bf16) {
            check(launch_transpose_batch(dead_bf16_, s_.aux.gradient, stream()), "rounding the auxiliary gradient");
        }
        RowUpdate update = row_update(norm_only);
        for (int64_t number = first_part(s_.dead, tier); number < first_part(s_.dead, tier + 1); number++) {
            const DensePart dead = part(number, norm_only);
            if (s_.dead.parts > 1) { // with one part it is still there
                scatter(dead);
            }
            dense_gradients(dead);
            update.dense = {
                .by_z = s_.aux.by_z,
                .by_dz = s_.aux.by_dz,
                .bias = s_.aux.bias,
                .count = dead.count,
                .latents = dead.latents,
            };
            run(update, dead.most);
        }
    }

    void dense_gradients(const DensePart &dead) const {
        if (decoder_.bf16) {
            check(launch_dense_gradients(*p_.context, dead_bf16_, dead, s_.aux.by_z, s_.aux.by_dz, s_.aux.bias),
                  "differentiating dead latents");
            return;
        }
        const LatentProduct product{
            .a = s_.aux.gradient,
            .rows = rows_,
            .d_in = p_.d_in,
            .w = p_.tensor(SAE_W_DEC),
            .bias = nullptr,
            .mask = s_.aux.z,
            .latents = dead.latents,
            .count = dead.count,
            .most = dead.most,
            .out = s_.aux.dz,
        };
        check(launch_by_latent(*p_.context, product), "differentiating dead latents");
        check(launch_dense_gradients(*p_.context, dead, s_.aux.z, s_.aux.dz, s_.aux.gradient, input_, rows_, p_.d_in,
                                     s_.aux.by_z, s_.aux.by_dz, s_.aux.bias),
              "differentiating dead latents");
    }

    /* norm_only: the clip factor, if the gradient's norm is needed */
    void finish(bool norm_only) const {
        const Finish job{
            .rows = rows_,
            .d_in = p_.d_in,
            .groups = s_.groups,
            .gradient = s_.gradient,
            .through = p_.subtract_b_dec ? s_.through : nullptr,
            .by_group = s_.by_group,
            .shadow = shadow_view(p_),
            .b_dec = matrix(SAE_B_DEC),
            .train_decoder = t_.trains(SAE_W_DEC),
            .norm_only = norm_only,
            .adam = t_.adam,
            .sums = s_.sums,
            .status = t_.status(),
            .weight_squares = p_.weight_squares.as<double>(),
            .partials = s_.partials,
            .arrived = s_.arrived(p_),
        };
        check(launch_finish(job, stream()), norm_only ? "clipping" : "finishing a step");
    }

    Trainer &t_;
    const Params &p_;
    const FusedScratch &s_;
    const Branches &branches_;
    const int64_t rows_;
    const float *x_;
    const float *y_;     // the target: x or a transcoder's
    const float *input_; // the encoder's input: x or x - b_dec
    const int *n_dead_;  // null without the auxiliary loss
    const Gathered decoder_;
    DeadBf16 dead_bf16_; // with precision=bf16
};

} // namespace

void step_fused(Trainer &trainer, const StepRows &rows, double lr) {
    const Params &params = trainer.params;
    Context &context = *params.context;
    require_size(rows.count, std::max(trainer.k, trainer.aux_k));
    const auto scratch = context.scratch.make<FusedScratch>(trainer, rows);
    scratch.rows.upload();
    if (params.weight_squares_stale) {
        check(launch_weight_squares(params.tensor(SAE_W_ENC), params.tensor(SAE_W_DEC), params.elements(SAE_W_ENC),
                                    scratch.squares, params.weight_squares.as<double>(), context.stream),
              "measuring the weights");
        params.weight_squares_stale = false;
    }
    refresh_shadow(params);
    gathered_decoder(params);
    check(launch_begin_step(lr, scratch.sums, trainer.status(), scratch.counters, context.stream), "starting a step");
    const auto key = step_key(scratch.rows, rows.count, trainer.k, context.scratch);
    trainer.graphs.run(context, key,
                       [&](const Branches &branches) { FusedStep(trainer, scratch, rows.count, branches).enqueue(); });
    rows.mark_read();
}

} // namespace sae::cuda
