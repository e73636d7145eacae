/*
 * encode_topk.cu: sae_encode with SAE_TOPK, and the choice of latents, which training shares.
 *
 * Four methods, chosen by the context's options and the shape:
 *   dense float32   scores by matmul_nt.cu in chunks of rows, top-k; where screening does not pay off: few or narrow
 *                   latents, k large relative to them, and choices among listed (dead) latents
 *   dense bf16      precision=bf16: the same with bf16 operands and the tensor cores
 *   chunked         precision=fp32: a chunk of rows (<= 32 MiB of scores, which stay in L2) is screened in halves,
 *                   candidates are settled in float32 (select.cu)
 *   fused           either precision: dense scores of the first latents only, enough for a threshold per row; then
 *                   rounds that list what passes it (epilogue.cuh, rounds.h);
 *                   pre-activations never reach memory. Rows whose list overflows are recomputed from all latents
 *                   (recompute.cu).
 * In float32 precision the three possible methods differ in the order of a dot product's sums, never in the choice
 * among its values. Which method is fastest for which shape has not been measured yet.
 */
#include <algorithm>

#include "../operations.h"
#include "encode_rules.h"
#include "preact.h"
#include "prepare_rows.h"
#include "recompute.h"
#include "rounds.h"
#include "select.h"
#include "selection.h"
#include "shadow.h"
#include "shadow_copies.h"
#include "topk.h"

namespace sae::cuda {
namespace {

#ifndef SAE_RECOMPUTE_BYTES // tests on the CPU make it small
#define SAE_RECOMPUTE_BYTES (128 << 20)
#endif
constexpr int64_t kRecomputed = SAE_RECOMPUTE_BYTES / static_cast<int64_t>(sizeof(float)); // scores at a time
constexpr int64_t kLeastRows = 128; // fewer rows would leave tiles of the matrix product empty
constexpr int64_t kListedRows = 8192;
constexpr int64_t kLeastLatentsPerK = 16; // below this half the latents may be candidates
static_assert(rounds::kGroup == kLatentGroup, "a round is whole groups of latents that share a bound");

/* What works on one tile of a product at a time. */
int64_t clusters(const Context &context) { return std::max(context.properties.multiProcessorCount / 2, 1); }

int64_t first_round(const Context &context, int64_t rows, int64_t k) {
    return rounds::first_round(rows, k, clusters(context));
}

/* Whether choosing k among all latents uses lists. */
bool is_listed(const Params &params, int64_t k) {
    const bool bf16 = params.context->precision == Precision::kBf16;
    return has_shadow(params) && k <= kMostListed && params.d_sae >= kLeastLatentsPerK * k &&
           params.context->scoring != Scoring::kDense && (!bf16 || params.context->scoring == Scoring::kFused);
}

} // namespace

void require_size(int64_t rows, int64_t k) {
    if (rows > kNoBadRow / k) {
        fail(SAE_INVALID_ARGUMENT, "expected rows * k <= " + std::to_string(kNoBadRow) +
                                       ", got rows = " + std::to_string(rows) + ", k = " + std::to_string(k));
    }
}

std::string nonfinite_text(int row, int64_t rows) {
    return "expected finite activations, got NaN or infinity in row " + std::to_string(row) + " of " +
           (rows == 0                ? "a part of the step"
            : rows == kRowsOfSeveral ? "a batch encoded since the last synchronization"
                                     : std::to_string(rows));
}

void clear_bad_row(const Context &context, int *bad_row) {
    check(cudaMemsetAsync(bad_row, kNoBadRow & 0xFF, sizeof(int), context.stream), "clearing a check");
}

int read_bad_row(const Context &context, const int *bad_row) {
    int row = 0;
    check(cudaMemcpyAsync(&row, bad_row, sizeof row, cudaMemcpyDeviceToHost, context.stream), "reading a check");
    context.synchronize();
    return row;
}

Selection::Selection(Carver &carver, const Params &params, int64_t rows_, int64_t k_, int64_t widest)
    : rows(rows_), k(k_) {
    chunk = std::min(rows, std::max(rounds::kScores / params.d_sae, kLeastRows));
    listed_rows = is_listed(params, k) ? std::min(rows, kListedRows) : 0;
    capacity = rounds::list_capacity(k);
    const int64_t width = round_up(params.d_sae, 4);
    const int64_t first = listed_rows == 0 ? 0 : std::min(first_round(*params.context, listed_rows, k), width);
    scored = std::max(chunk * width, listed_rows * first);
    scores = carver.take<float>(scored);
    keys = carver.take<uint64_t>(topk_scratch(chunk, widest));
    const bool shadow = has_shadow(params);
    rounded.rounded = shadow ? carver.take<uint16_t>(rows * round_up(params.d_in, kDepthStep)) : nullptr;
    rounded.bounds = shadow ? carver.take<RowBound>(rows) : nullptr;
    slots = listed_rows > 0 ? std::min(rows, std::max<int64_t>(kRecomputed / params.d_sae, 1)) : 0;
    list = carver.take<uint64_t>(std::max(listed_rows * capacity, divide_up(slots * params.d_sae, 2)));
    count = carver.take<int>(listed_rows);
    threshold = carver.take<float>(listed_rows);
    overflowed = carver.take<int>(listed_rows > 0 ? rows : 0);
    const int64_t counters = slots == 0 ? 0 : divide_up(rows, slots) * divide_up(slots, kRecomputeRows);
    cleared = static_cast<int64_t>(sizeof(SelectionCounts)) + counters * static_cast<int64_t>(sizeof(int));
    counts = reinterpret_cast<SelectionCounts *>(carver.take<unsigned char>(cleared));
    done = reinterpret_cast<int *>(counts + 1);
}

const float *prepare_rows(const Params &params, const Selection &selection, const float *x, int64_t rows,
                          float *centred, int *bad_row) {
    const bool subtract = params.subtract_b_dec;
    const PrepareRows job{
        .x = x,
        .b_dec = subtract ? params.tensor(SAE_B_DEC) : nullptr,
        .rows = rows,
        .d_in = params.d_in,
        .centred = subtract ? centred : nullptr,
        .bad_row = bad_row,
        .rounded = selection.rounded.rounded,
        .bounds = selection.rounded.bounds,
        .depth = round_up(params.d_in, kDepthStep),
        .format = narrow_format(*params.context),
    };
    check(launch_prepare_rows(job, params.context->stream), "preparing rows");
    return subtract ? centred : x;
}

void round_rows(const Params &params, const Selection &selection, const float *input, int64_t rows, int *bad_row) {
    if (has_shadow(params)) {
        const PrepareRows job{
            .x = input,
            .b_dec = nullptr,
            .rows = rows,
            .d_in = params.d_in,
            .centred = nullptr,
            .bad_row = bad_row,
            .rounded = selection.rounded.rounded,
            .bounds = selection.rounded.bounds,
            .depth = round_up(params.d_in, kDepthStep),
            .format = narrow_format(*params.context),
        };
        check(launch_prepare_rows(job, params.context->stream), "rounding rows");
    }
}

namespace {

/* One choice for all rows; each method is a function. */
class Encode {
  public:
    Encode(const Params &params, const Selection &selection, const float *input, int *indices, float *values)
        : p_(params), c_(*params.context), s_(selection), input_(input), indices_(indices), values_(values) {}

    void dense(const int *among, const int *n_among) {
        for (int64_t first = 0; first < s_.rows; first += s_.chunk) {
            const int64_t rows = std::min(s_.chunk, s_.rows - first);
            multiply_rows(p_, s_.rounded, input_, first, rows, p_.tensor(SAE_B_ENC), s_.scores, among, n_among);
            check(launch_topk(s_.scores, rows, p_.d_sae, n_among, among, s_.k, s_.keys, indices_ + first * s_.k,
                              values_ + first * s_.k, c_.stream),
                  "choosing the top k");
        }
    }

    void listed() {
        const int64_t width = first_round(c_, s_.listed_rows, s_.k);
        const bool fused = c_.scoring == Scoring::kFused && p_.d_sae >= 2 * width;
        const int64_t step = fused ? s_.listed_rows : s_.chunk;
        for (int64_t first = 0; first < s_.rows; first += step) {
            const int64_t rows = std::min(step, s_.rows - first);
            listed_rows(first, rows, fused ? width : p_.d_sae);
        }
        for (int64_t chunk = 0; chunk * s_.slots < s_.rows; chunk++) {
            recompute(chunk);
        }
    }

  private:
    bool bounded() const { return c_.precision == Precision::kFloat32; }

    Operands operands_of(int64_t first_row, int64_t rows, int64_t first, int64_t last) const {
        return {
            .x = s_.rounded.rounded + first_row * shadow_.depth,
            .rows = rows,
            .w = shadow_.rounded,
            .bias = p_.tensor(SAE_B_ENC),
            .d_sae = p_.d_sae,
            .depth = shadow_.depth,
            .first = first,
            .last = last,
            .format = shadow_.format,
        };
    }

    /* Rounds over latents [0, width), then as many more as a list has room for (rounds.h). */
    void listed_rows(int64_t first_row, int64_t rows, int64_t width) {
        const RowBound *bounds = bounded() ? s_.rounded.bounds + first_row : nullptr;
        const int64_t stride = round_up(width, 4);
        check(launch_preactivations(c_, operands_of(first_row, rows, 0, width),
                                    ScoreTarget{.scores = s_.scores, .stride = stride, .rows = bounds}),
              "scoring the first latents");
        Choice choice{};
        choice.k = s_.k;
        choice.columns = p_.d_sae;
        choice.scores = s_.scores;
        choice.width = width;
        choice.stride = stride;
        choice.list = s_.list;
        choice.count = s_.count;
        choice.threshold = s_.threshold;
        choice.capacity = s_.capacity;
        choice.rows = bounds;
        choice.latents = shadow_.latents;
        choice.groups = shadow_.groups;
        choice.input = input_ + first_row * p_.d_in;
        choice.w_enc = p_.tensor(SAE_W_ENC);
        choice.b_enc = p_.tensor(SAE_B_ENC);
        choice.d_in = p_.d_in;
        choice.last = width == p_.d_sae;
        choice.indices = indices_ + first_row * s_.k;
        choice.values = values_ + first_row * s_.k;
        choice.overflowed = s_.overflowed;
        choice.counts = s_.counts;
        choice.first_row = first_row;
        check(launch_choose(choice, rows, c_.stream), "choosing candidates");
        choice.scores = nullptr;
        for (int64_t seen = width; seen < p_.d_sae;) {
            const int64_t next = rounds::next_round(seen, {.rows = rows,
                                                           .d_in = p_.d_in,
                                                           .d_sae = p_.d_sae,
                                                           .k = s_.k,
                                                           .clusters = clusters(c_),
                                                           .bounded = bounded()});
            check(
                launch_preactivations(c_, operands_of(first_row, rows, seen, next),
                                      ListTarget{s_.list, s_.count, s_.threshold, s_.capacity, bounds, shadow_.groups}),
                "listing candidates");
            choice.last = next == p_.d_sae;
            check(launch_choose(choice, rows, c_.stream), "choosing candidates");
            seen = next;
        }
    }

    void recompute(int64_t chunk) {
        const Recompute job{
            .overflowed = s_.overflowed,
            .counts = s_.counts,
            .first = chunk * s_.slots,
            .slots = s_.slots,
            .input = input_,
            .w_enc = p_.tensor(SAE_W_ENC),
            .b_enc = p_.tensor(SAE_B_ENC),
            .d_in = p_.d_in,
            .rounded = bounded() ? nullptr : s_.rounded.rounded,
            .w = shadow_.rounded,
            .depth = shadow_.depth,
            .columns = p_.d_sae,
            .k = s_.k,
            .scores = reinterpret_cast<float *>(s_.list),
            .done = s_.done + chunk * divide_up(s_.slots, kRecomputeRows),
            .indices = indices_,
            .values = values_,
        };
        check(launch_recompute(c_, job), "recomputing rows");
    }

    const Params &p_;
    const Context &c_;
    const Selection &s_;
    const float *input_;
    int *indices_;
    float *values_;
    const ShadowView shadow_ = shadow_view(p_);
};

} // namespace

void select_latents(const Params &params, const Selection &selection, const float *input, const int *among,
                    const int *n_among, int *indices, float *values) {
    refresh_shadow(params);
    Encode encode(params, selection, input, indices, values);
    if (among == nullptr) {
        check(cudaMemsetAsync(selection.counts, 0, static_cast<size_t>(selection.cleared), params.context->stream),
              "clearing counts");
    }
    if (among == nullptr && selection.listed_rows > 0) {
        encode.listed();
    } else {
        encode.dense(among, n_among);
    }
}

namespace {

struct EncodeScratch {
    int *bad_row;
    Staged<float> x;
    float *centred;
    Selection selection;
    Staged<int> indices;
    Staged<float> values;

    EncodeScratch(Carver &carver, const Params &params, int64_t rows, int64_t k, const Buffer &x_,
                  const Buffer &indices_, const Buffer &values_)
        : bad_row(carver.take<int>(1)), x(carver, x_, rows * params.d_in),
          centred(carver.take<float>(params.subtract_b_dec ? rows * params.d_in : 0)),
          selection(carver, params, rows, k, k), indices(carver, indices_, rows * k),
          values(carver, values_, rows * k) {}
};

} // namespace

sae_status encode_topk(void *handle, void *x, int64_t rows, int64_t k, void *indices, void *values) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        Context &context = *params.context;
        context.activate();
        require_size(rows, k);
        const auto scratch =
            context.scratch.make<EncodeScratch>(params, rows, k, *static_cast<Buffer *>(x),
                                                *static_cast<Buffer *>(indices), *static_cast<Buffer *>(values));
        const bool late = context.late_bad_row.bytes() > 0;
        int *const bad_row = late ? context.late_bad_row.as<int>() : scratch.bad_row;
        if (!late) {
            clear_bad_row(context, bad_row);
        }
        const float *input =
            prepare_rows(params, scratch.selection, scratch.x.upload(), rows, scratch.centred, bad_row);
        select_latents(params, scratch.selection, input, nullptr, nullptr, scratch.indices.address,
                       scratch.values.address);
        if (!late) {
            const int bad = read_bad_row(context, bad_row); // waits, once everything is queued
            if (bad != kNoBadRow) {
                fail(SAE_NONFINITE, nonfinite_text(bad, rows));
            }
        }
        scratch.indices.download();
        scratch.values.download();
    });
}

} // namespace sae::cuda
