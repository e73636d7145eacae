/*
 * step_fused.cu: a training step in which the weights' gradient never reaches memory.
 *
 *   1. batch:    finite check, x - b_dec, variance of x                                        (batch.cu)
 *   2. encode:   the top k of every row                                                        (encode_topk.cu)
 *   3. lists:    kept values by latent, idle counters, dead latents                            (csc.cu, dead.cu)
 *   4. aux:      the top aux_k among the dead, and their reconstruction          (aux_dense.cu, aux_bf16.cu)
 *   5. forward:  decode, error, losses, output gradient, dz                                    (forward.cu)
 *   6. decide:   statistics; whether clipping is ruled out                              (lists.cu, step_sums.cu)
 *   7. norm:     the rows' gradients for their norm only; exits at once if clipping is out    (row_update.cu)
 *   8. update:   the rows' gradients (again), projection, Adam, norm, copies of the weights in bf16
 *   9. b_dec
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
#include "../dead/aux_scratch.h"
#include "../dead/dead.h"
#include "../decode/forward.h"
#include "../device/matmul_nt.h"
#include "../encode/selection.h"
#include "../encode/shadow.h"
#include "../encode/shadow_copies.h"
#include "../operations.h"
#include "adam.h"
#include "backward.h"
#include "batch.h"
#include "csc.h"
#include "lists.h"
#include "losses.h"
#include "row_update.h"
#include "step_state.h"
#include "step_sums.h"
#include "trainer.h"

namespace sae::cuda {
namespace {

struct FusedScratch {
    int64_t slices;
    int64_t group;
    int64_t groups;
    Staged<float> x;
    float *centred;             // [B, d]
    float *gradient;            // [B, d]
    uint16_t *rounded_gradient; // [B, depth], with precision=bf16
    Kept kept;
    CscScratch csc;
    Selection selection;
    AuxScratch aux;
    DeadLatents dead;
    int *in_block;
    StepSums *sums;
    double *batch_partials;
    double *moments;   // [2, d]
    float *dz_parts;   // [slices, B k]
    double *squares;   // [3, slices B]; before the step: squares of the weights
    double *collected; // [kCollected, kCollectBlocks]
    LatentLists lists;
    double *by_group;      // [3, groups]
    float *through;        // [groups, d]
    double *partials;      // column sums of up to max(B, groups) rows
    double *columns;       // [2, d]
    float *b_dec_gradient; // [d]

    FusedScratch(Carver &carver, const Trainer &t, int64_t rows, int64_t bytes, const Buffer &buffer)
        : slices(forward_slices(t.params.d_in, t.k)), group(row_update_group(t.params.d_sae)),
          groups(divide_up(t.params.d_sae, group)), x(carver, buffer, rows * t.params.d_in),
          centred(carver.take<float>(t.params.subtract_b_dec ? rows * t.params.d_in : 0)),
          gradient(carver.take<float>(rows * t.params.d_in)),
          rounded_gradient(rounded_decoder_bytes(t.params) > 0
                               ? carver.take<uint16_t>(rows * round_up(t.params.d_in, kDepthStep))
                               : nullptr),
          kept(carver, rows, t.k, t.params.d_sae), csc(csc_arrays(carver, rows * t.k, bytes)),
          selection(carver, t.params, rows, t.k, std::max(t.k, t.aux_k)), aux(carver, t.params, rows, t.aux_k),
          dead(dead_arrays(carver, rows, t.params)), in_block(carver.take<int>(divide_up(t.params.d_sae, kThreads))),
          sums(carver.take<StepSums>(1)), batch_partials(carver.take<double>(batch_scratch(rows, t.params.d_in))),
          moments(carver.take<double>(2 * t.params.d_in)), dz_parts(carver.take<float>(slices * rows * t.k)),
          squares(carver.take<double>(std::max(3 * slices * rows, 2 * kSquareBlocks))),
          collected(carver.take<double>(kCollected * kCollectBlocks)),
          lists(list_arrays(carver, rows * t.k, t.params.d_in)), by_group(carver.take<double>(3 * groups)),
          through(carver.take<float>(groups * t.params.d_in)),
          partials(carver.take<double>(column_scratch(std::max(rows, groups), t.params.d_in))),
          columns(carver.take<double>(2 * t.params.d_in)), b_dec_gradient(carver.take<float>(t.params.d_in)) {}

  private:
    static DeadLatents dead_arrays(Carver &carver, int64_t rows, const Params &params) {
        const int64_t part = dead_part(rows, params);
        const int64_t parts = divide_up(params.d_sae, part);
        int *list = carver.take<int>(params.d_sae);
        int *rank = carver.take<int>(params.d_sae);
        return {list, rank, carver.take<int>(1 + 2 * parts), part, parts};
    }

    static LatentLists list_arrays(Carver &carver, int64_t entries, int64_t d_in) {
        LatentLists lists;
        lists.rows = carver.take<uint32_t>(entries);
        lists.z = carver.take<float>(entries);
        lists.dz = carver.take<float>(entries);
        lists.by_z = carver.take<float>(entries / kStretch * d_in);
        lists.by_dz = carver.take<float>(entries / kStretch * d_in);
        lists.bias = carver.take<float>(entries / kStretch);
        return lists;
    }
};

/* One step: the phases in order, each a few launches on the context's stream. */
class FusedStep {
  public:
    FusedStep(Trainer &trainer, const FusedScratch &scratch, int64_t rows)
        : t_(trainer), p_(trainer.params), s_(scratch), rows_(rows), stream_(trainer.params.context->stream),
          x_(scratch.x.address), input_(p_.subtract_b_dec ? scratch.centred : x_),
          n_dead_(trainer.aux_k > 0 ? scratch.dead.counts : nullptr), decoder_(gathered_decoder(p_)),
          dead_bf16_(scratch.aux.dead) {
        dead_bf16_.n_dead = n_dead_;
        dead_bf16_.decoder = decoder_;
        dead_bf16_.input = scratch.selection.rounded.rounded;
    }

    void enqueue() {
        encode();
        reconstruct_dead();
        forward();
        if (t_.adam.clip_norm > 0.0) {
            rows_pass(true);
            b_dec_gradient(&s_.sums->needs_norm);
            check(launch_clip(s_.by_group, s_.groups, s_.b_dec_gradient, p_.d_in, t_.adam, s_.sums, stream_),
                  "clipping");
        }
        rows_pass(false);
        update_b_dec();
    }

  private:
    void encode() {
        const float *b_dec = p_.subtract_b_dec ? p_.tensor(SAE_B_DEC) : nullptr;
        check(launch_prepare_batch(x_, b_dec, rows_, p_.d_in, p_.subtract_b_dec ? s_.centred : nullptr,
                                   &t_.status()->bad_row, s_.batch_partials, s_.moments, stream_),
              "preparing rows");
        round_rows(p_, s_.selection, input_, rows_, &t_.status()->bad_row);
        Selection selection = s_.selection;
        selection.k = t_.k;
        select_latents(p_, selection, input_, nullptr, nullptr, s_.kept.indices, s_.kept.values);
        check(launch_csc(s_.kept.indices, s_.kept.values, rows_ * t_.k, p_.d_sae, s_.csc, s_.kept.order, s_.kept.sorted,
                         s_.kept.offsets, stream_),
              "listing kept values by latent");
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows}, {s_.kept.offsets, nullptr, true}, rows_,
                          p_.d_sae, t_.status(), t_.idle(), t_.idle(), s_.in_block, s_.dead, stream_),
              "counting dead latents");
        check(launch_batch_scales(t_.loss, s_.moments, rows_, p_.d_in, s_.dead.counts, s_.sums, stream_),
              "scaling the loss");
    }

    /* gated: no latents if the gradient's norm is not needed */
    DensePart part(int64_t number, bool gated) const {
        const int64_t first = number * s_.dead.part;
        const int *counts = s_.dead.counts + 1 + (gated ? s_.dead.parts : 0);
        return {first, s_.dead.part, counts + number, s_.dead.list + first};
    }

    void scatter(const DensePart &part) const {
        const auto scatter_to = [&](auto *z) {
            return launch_scatter(part, s_.aux.indices, s_.aux.values, rows_, t_.aux_k, s_.dead.rank, z, stream_);
        };
        check(decoder_.bf16 ? scatter_to(dead_bf16_.z) : scatter_to(s_.aux.z), "scattering dead latents");
    }

    cudaError_t reconstruct(const DensePart &part) const {
        return decoder_.bf16 ? launch_reconstruct_dead(*p_.context, dead_bf16_, part, s_.aux.gradient)
                             : launch_reconstruct_dead(part, s_.aux.z, p_.tensor(SAE_W_DEC), rows_, p_.d_in,
                                                       s_.aux.gradient, stream_);
    }

    void reconstruct_dead() {
        if (t_.aux_k == 0) {
            return;
        }
        Selection selection = s_.selection;
        selection.k = t_.aux_k;
        select_latents(p_, selection, input_, s_.dead.list, s_.dead.counts, s_.aux.indices, s_.aux.values);
        for (int64_t number = 0; number < s_.dead.parts; number++) {
            scatter(part(number, false));
            check(reconstruct(part(number, false)), "reconstructing from dead latents");
        }
    }

    void forward() {
        const ForwardInputs in{
            .rows = rows_,
            .k = t_.k,
            .d_in = p_.d_in,
            .slices = s_.slices,
            .indices = s_.kept.indices,
            .values = s_.kept.values,
            .w_dec = decoder_,
            .b_dec = p_.tensor(SAE_B_DEC),
            .x = x_,
            .n_dead = n_dead_,
            .sums = s_.sums,
            .detach = t_.aux_detach,
        };
        const ForwardOutputs out{
            .gradient = s_.gradient,
            .rounded = s_.rounded_gradient,
            .aux_gradient = s_.aux.gradient,
            .dz_parts = s_.dz_parts,
            .squares = s_.squares,
        };
        check(launch_forward(in, out, stream_), "reconstructing");
        if (t_.aux_k > 0 && decoder_.bf16) {
            check(launch_transpose_batch(dead_bf16_, s_.aux.gradient, stream_), "rounding the auxiliary gradient");
        }
        const ListInputs list{
            .entries = rows_ * t_.k,
            .k = t_.k,
            .d_sae = p_.d_sae,
            .slices = s_.slices,
            .order = s_.kept.order,
            .offsets = s_.kept.offsets,
            .values = s_.kept.values,
            .dz_parts = s_.dz_parts,
            .aux_values = s_.aux.values,
            .aux_entries = rows_ * t_.aux_k,
            .n_dead = n_dead_,
        };
        check(launch_collect(list, s_.squares, rows_ * s_.slices, s_.lists, s_.collected, stream_),
              "collecting the lists");
        check(launch_stretches(s_.lists, s_.kept.sorted, rows_ * t_.k, p_.d_sae, gradient(), input(), p_.d_in, stream_),
              "adding up long lists");
        const ClipBound bound{
            .rows = static_cast<double>(rows_),
            .subtract_b_dec = p_.subtract_b_dec,
            .train_decoder = t_.trains(SAE_W_DEC),
            .train_b_enc = t_.train_b_enc,
            .weight_squares = p_.weight_squares.as<double>(),
        };
        check(launch_decide(s_.collected, s_.kept.offsets + p_.d_sae, s_.selection.counts, s_.dead.counts, bound,
                            t_.adam, s_.sums, t_.status(), stream_),
              "adding up the loss");
        if (t_.aux_k > 0 && t_.adam.clip_norm > 0.0) {
            check(launch_gate_dead(&s_.sums->needs_norm, s_.dead, stream_), "counting dead latents");
        }
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

    /* The live latents, then the dead ones in parts. */
    void rows_pass(bool norm_only) {
        RowUpdate update{
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
        const bool narrow = t_.narrow_moments(SAE_W_ENC);
        check(launch_row_update(update, narrow, p_.d_sae, stream_), "updating weights");
        for (int64_t number = 0; number < (t_.aux_k > 0 ? s_.dead.parts : 0); number++) {
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
            check(launch_row_update(update, narrow, dead.most, stream_), "updating dead latents");
        }
        if (!norm_only && update.shadow.rounded != nullptr) {
            check(launch_group_bounds(update.shadow, stream_), "bounding groups of latents");
        }
    }

    void dense_gradients(const DensePart &dead) const {
        if (decoder_.bf16) {
            check(launch_dense_gradients(*p_.context, dead_bf16_, dead, s_.aux.by_z, s_.aux.by_dz, s_.aux.bias),
                  "differentiating dead latents");
            return;
        }
        check(launch_matmul_nt(s_.aux.gradient, rows_, p_.tensor(SAE_W_DEC), dead.most, p_.d_in, dead.latents,
                               dead.count, nullptr, s_.aux.dz, stream_),
              "differentiating dead latents");
        check(launch_dense_gradients(dead, s_.aux.z, s_.aux.dz, s_.aux.gradient, input_, rows_, p_.d_in, s_.aux.by_z,
                                     s_.aux.by_dz, s_.aux.bias, stream_),
              "differentiating dead latents");
    }

    void b_dec_gradient(const int *only_if) {
        double *outputs = s_.columns;
        double *through_encoder = p_.subtract_b_dec ? s_.columns + p_.d_in : nullptr;
        check(launch_column_sums(s_.gradient, nullptr, rows_, p_.d_in, s_.partials, outputs, stream_, only_if),
              "differentiating the decoder's bias");
        if (through_encoder != nullptr) {
            check(launch_column_sums(s_.through, nullptr, s_.groups, p_.d_in, s_.partials, through_encoder, stream_,
                                     only_if),
                  "differentiating the encoder's input");
        }
        check(launch_decoder_bias_gradient(outputs, through_encoder, p_.d_in, s_.b_dec_gradient, stream_, only_if),
              "differentiating the decoder's bias");
    }

    void update_b_dec() {
        b_dec_gradient(nullptr);
        check(launch_finish_step(s_.by_group, s_.groups, s_.b_dec_gradient, p_.d_in, t_.adam, t_.trains(SAE_W_DEC),
                                 p_.weight_squares.as<double>(), t_.status(), stream_),
              "finishing a step");
        check(launch_update(s_.b_dec_gradient, p_.d_in, t_.adam, s_.sums, t_.status(), p_.tensor(SAE_B_DEC),
                            t_.first[SAE_B_DEC].as<float>(), t_.second[SAE_B_DEC].as<float>(), stream_),
              "updating the decoder's bias");
    }

    Trainer &t_;
    const Params &p_;
    const FusedScratch &s_;
    const int64_t rows_;
    const cudaStream_t stream_;
    const float *x_;
    const float *input_; // the encoder's input: x or x - b_dec
    const int *n_dead_;  // null without the auxiliary loss
    const Gathered decoder_;
    DeadBf16 dead_bf16_; // with precision=bf16
};

} // namespace

void step_fused(Trainer &trainer, Buffer &x, int64_t rows, double lr) {
    const Params &params = trainer.params;
    Context &context = *params.context;
    require_size(rows, std::max<int64_t>(trainer.aux_k, 1));
    const auto scratch =
        context.scratch.make<FusedScratch>(trainer, rows, sort_bytes(rows, trainer.k, params.d_sae), x);
    const float *at = scratch.x.upload();
    if (params.weight_squares_stale) {
        check(launch_weight_squares(params.tensor(SAE_W_ENC), params.tensor(SAE_W_DEC), params.elements(SAE_W_ENC),
                                    scratch.squares, params.weight_squares.as<double>(), context.stream),
              "measuring the weights");
        params.weight_squares_stale = false;
    }
    refresh_shadow(params);
    gathered_decoder(params);
    check(launch_begin_step(lr, scratch.sums, trainer.status(), context.stream), "starting a step");
    trainer.graphs.run(context, {at, rows, context.scratch.base(), context.scratch.bytes()},
                       [&] { FusedStep(trainer, scratch, rows).enqueue(); });
    x.mark_read();
}

} // namespace sae::cuda
