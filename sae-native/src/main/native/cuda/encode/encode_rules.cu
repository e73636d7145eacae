/*
 * encode_rules.cu: sae_encode with the rules other than SAE_TOPK: their input, the product with all latents for a chunk of
 * rows, and the two rules that keep k latents a row without being the k largest values (keep_of_groups.cu, choose_ranked.cu).
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> indices int32 [rows, k], values float32 [rows, k]
 * 2 rows d_in d_sae FLOP, in float32 or, with precision=bf16, on the tensor cores. Pre-activations of at most 32 MiB exist
 * at a time (128 rows at least).
 */
#include "encode_rules.h"

#include <algorithm>

#include "../device/matmul_nt.h"
#include "../operations.h"
#include "choose_ranked.h"
#include "groups.h"
#include "keep_of_groups.h"
#include "preact.h"
#include "prepare_rows.h"
#include "rounds.h"
#include "topk.h"

namespace sae::cuda {

RuleInput::RuleInput(Carver &carver, const Params &params, int64_t rows, bool wants_rounded, const Buffer &x_)
    : bad_row(carver.take<int>(1)), x(carver, x_, rows * params.d_in),
      centred(params.subtract_b_dec ? carver.take<float>(rows * params.d_in) : nullptr), rounded{} {
    if (wants_rounded) {
        rounded.rounded = carver.take<uint16_t>(rows * round_up(params.d_in, kDepthStep));
        rounded.bounds = carver.take<RowBound>(rows);
    }
}

const float *prepare_input(const Params &params, const RuleInput &scratch, int64_t rows, int *bad_row) {
    const float *x = scratch.x.upload();
    const PrepareRows job{
        .x = x,
        .b_dec = params.subtract_b_dec ? params.tensor(SAE_B_DEC) : nullptr,
        .rows = rows,
        .d_in = params.d_in,
        .centred = scratch.centred,
        .bad_row = bad_row,
        .rounded = scratch.rounded.rounded,
        .bounds = scratch.rounded.bounds,
        .depth = round_up(params.d_in, kDepthStep),
        .format = narrow_format(*params.context),
    };
    check(launch_prepare_rows(job, params.context->stream), "preparing rows");
    return params.subtract_b_dec ? scratch.centred : x;
}

int64_t rows_at_once(const Params &params, int64_t rows) {
    constexpr int64_t kLeastRows = 128; // fewer would leave tiles of the matrix product empty
    return std::min(rows, std::max(rounds::kScores / params.d_sae, kLeastRows));
}

void multiply_rows(const Params &params, const RowsView &rounded, const float *input, int64_t first, int64_t rows,
                   const float *bias, float *scores, const int *among, const int *n_among) {
    const Context &context = *params.context;
    if (context.precision == Precision::kFloat32) {
        check(launch_matmul_nt(input + first * params.d_in, rows, params.tensor(SAE_W_ENC), params.d_sae, params.d_in,
                               among, n_among, bias, scores, context.stream),
              "scoring latents");
        return;
    }
    refresh_shadow(params);
    const ShadowView shadow = shadow_view(params);
    const Operands operands{
        .x = rounded.rounded + first * shadow.depth,
        .rows = rows,
        .w = shadow.rounded,
        .bias = bias,
        .d_sae = params.d_sae,
        .depth = shadow.depth,
        .names = among,
        .n_active = n_among,
        .last = params.d_sae,
        .format = shadow.format,
    };
    check(launch_preactivations(context, operands, ScoreTarget{scores, params.d_sae}), "scoring latents");
}

void require_finite_rows(const Context &context, const int *bad_row, int64_t rows) {
    const int bad = read_bad_row(context, bad_row);
    if (bad != kNoBadRow) {
        fail(SAE_NONFINITE, nonfinite_text(bad, rows));
    }
}

namespace {

void choose_of_groups(const Params &params, const RowsView &rounded, const ScoredChunk &scratch, const float *input,
                      int64_t rows, int64_t k, int *indices, float *values) {
    const cudaStream_t stream = params.context->stream;
    for (int64_t first = 0; first < rows; first += scratch.rows) {
        const int64_t count = std::min(scratch.rows, rows - first);
        multiply_rows(params, rounded, input, first, count, params.tensor(SAE_B_ENC), scratch.scores);
        check(launch_keep_of_groups(scratch.scores, count, params.d_sae, params.d_sae / k, stream),
              "choosing of groups");
        check(launch_topk(scratch.scores, count, params.d_sae, nullptr, nullptr, k, scratch.keys, indices + first * k,
                          values + first * k, stream),
              "sorting the groups' largest");
    }
}

} // namespace

void choose_of_groups(const Params &params, const Selection &selection, const float *input, int64_t rows, int64_t k,
                      int *indices, float *values) {
    check(cudaMemsetAsync(selection.counts, 0, static_cast<size_t>(selection.cleared), params.context->stream),
          "clearing counts");
    choose_of_groups(params, selection.rounded, {selection.chunk, selection.scores, selection.keys}, input, rows, k,
                     indices, values);
}

namespace {

struct RowsOfKScratch {
    RuleInput input;
    ScoredChunk chunk;
    Staged<int> indices;
    Staged<float> values;

    RowsOfKScratch(Carver &carver, const Params &params, int64_t rows, int64_t k, const Buffer &x,
                   const Buffer &indices_, const Buffer &values_)
        : RowsOfKScratch(carver, params, rows, rows_at_once(params, rows), k, x, indices_, values_) {}

  private:
    RowsOfKScratch(Carver &carver, const Params &params, int64_t rows, int64_t at_once, int64_t k, const Buffer &x,
                   const Buffer &indices_, const Buffer &values_)
        : input(carver, params, rows, params.context->precision == Precision::kBf16, x),
          chunk{at_once, carver.take<float>(at_once * params.d_sae), carver.take<uint64_t>(topk_scratch(at_once, k))},
          indices(carver, indices_, rows * k), values(carver, values_, rows * k) {}
};

void encode_rows_of_k(const Params &params, int32_t rule, const Buffer &x, int64_t rows, const sae_latents &into) {
    Context &context = *params.context;
    const int64_t k = into.k;
    require_size(rows, k);
    const auto scratch = context.scratch.make<RowsOfKScratch>(
        params, rows, k, x, *static_cast<const Buffer *>(into.indices), *static_cast<const Buffer *>(into.values));
    const bool late = context.late_bad_row.bytes() > 0;
    int *const bad_row = late ? context.late_bad_row.as<int>() : scratch.input.bad_row;
    if (!late) {
        clear_bad_row(context, bad_row);
    }
    const float *input = prepare_input(params, scratch.input, rows, bad_row);
    if (rule == SAE_GROUP_MAX) {
        choose_of_groups(params, scratch.input.rounded, scratch.chunk, input, rows, k, scratch.indices.address,
                         scratch.values.address);
    } else {
        choose_ranked(params, scratch.input.rounded, scratch.chunk, input, rows,
                      {.ranking = {.norms = nullptr, .by_size = true, .signs = true},
                       .k = k,
                       .indices = scratch.indices.address,
                       .values = scratch.values.address});
    }
    if (!late) {
        require_finite_rows(context, bad_row, rows);
    }
    scratch.indices.download();
    scratch.values.download();
}

} // namespace

sae_status encode(void *handle, int32_t rule, void *x, int64_t rows, const sae_latents *into, int64_t *entries) {
    if (rule == SAE_TOPK) {
        return encode_topk(handle, x, rows, into->k, into->indices, into->values);
    }
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        const Buffer &input = *static_cast<Buffer *>(x);
        params.context->activate();
        if (rule == SAE_BATCH_TOPK) {
            *entries = encode_batch_topk(params, input, rows, *into);
        } else if (rule == SAE_THRESHOLD_RULE) {
            *entries = encode_threshold(params, input, rows, *into);
        } else {
            encode_rows_of_k(params, rule, input, rows, *into);
        }
    });
}

} // namespace sae::cuda
