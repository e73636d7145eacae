/*
 * encode_threshold.cu: SAE_THRESHOLD_RULE: ReLU, JumpReLU, and gated latents, as ragged rows.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 and values float32 [entries]
 *
 * Two methods, chosen by the context's options and the shape, never by how many entries there are or fit, so that a call
 * with more room gives what the first one counted:
 *   listed    precision=fp32 with encode=fused, where the shape is screened at all (shadow_copies.cu): one fused product on
 *             the tensor cores lists what may fire, up to 8192 rows at a time (epilogue.cuh, settle.cu); what fires gets its
 *             float32 value, and pre-activations never reach memory. Rows whose list overflows, which are those in which
 *             more than `capacity` latents may fire, are computed from all latents in float32, 128 MiB of products at a time
 *             (twice if there are more rows than that)
 *   dense     otherwise: products of a chunk of rows with all latents, in 32 MiB that stay in L2, are compared as they are
 *
 * A list has room for 4 times the entries that the caller has room for in the mean row: 512 to 4096. One wait of the host
 * for each 8192 rows (how many overflowed), and one at the end (how many entries).
 * Deterministic. Not measured yet.
 */
#include <algorithm>

#include "../operations.h"
#include "encode_rules.h"
#include "preact.h"
#include "ragged_output.h"
#include "recompute.h"
#include "settle.h"
#include "topk.h"

namespace sae::cuda {
namespace {

#ifndef SAE_RECOMPUTE_BYTES // tests on the CPU make it small
#define SAE_RECOMPUTE_BYTES (128 << 20)
#endif
constexpr int64_t kRecomputed = SAE_RECOMPUTE_BYTES / static_cast<int64_t>(sizeof(float)); // products at a time
constexpr int64_t kListedRows = 8192;
constexpr int64_t kListEntries = 16 << 20;
constexpr int64_t kRoomPerEntry = 4;
constexpr int64_t kLeastCapacity = 512;
constexpr int64_t kMostCapacity = 4096;

Firing firing_of(const Params &params) {
    return {params.tensor(SAE_B_ENC), params.tensor(SAE_THRESHOLD), params.tensor(SAE_R_MAG), params.tensor(SAE_B_MAG),
            nullptr};
}

bool is_listed(const Params &params) {
    const Context &context = *params.context;
    return has_shadow(params) && context.precision == Precision::kFloat32 && context.scoring == Scoring::kFused;
}

struct DenseScratch {
    RuleInput input;
    int64_t chunk;
    float *scores;   // [chunk, d_sae]
    int *kept;       // [rows]
    int64_t *starts; // [rows + 1]
    RaggedOutput output;

    DenseScratch(Carver &carver, const Params &params, int64_t rows, const Buffer &x, const sae_latents &into)
        : input(carver, params, rows, params.context->precision == Precision::kBf16, x),
          chunk(rows_at_once(params, rows)), scores(carver.take<float>(chunk * params.d_sae)),
          kept(carver.take<int>(rows)), starts(carver.take<int64_t>(rows + 1)), output(carver, rows, into) {}
};

struct ListScratch {
    RuleInput input;
    int64_t chunk; // rows with a list at a time
    int64_t capacity;
    uint64_t *list;   // [chunk, capacity]
    int *count;       // [chunk]
    float *threshold; // [chunk], 0: the bars hold the latents' thresholds
    int *overflowed;  // [chunk]
    SelectionCounts *counts;
    ThresholdBars bars; // null without thresholds
    int64_t slots;      // rows that are computed from all latents at a time
    float *scores;      // [slots, d_sae]
    int *kept;          // [rows]
    int64_t *starts;    // [rows + 1]
    RaggedOutput output;

    static int64_t capacity_for(int64_t d_sae, int64_t rows, int64_t room) {
        const int64_t wanted = std::min(d_sae, kRoomPerEntry * divide_up(room, rows));
        int64_t capacity = kLeastCapacity;
        while (capacity < kMostCapacity && capacity < wanted) {
            capacity *= 2;
        }
        return capacity;
    }

    ListScratch(Carver &carver, const Params &params, int64_t rows, const Buffer &x, const sae_latents &into)
        : input(carver, params, rows, true, x), capacity(capacity_for(params.d_sae, rows, into.room)),
          output(carver, rows, into) {
        chunk = std::min({rows, kListedRows, kListEntries / capacity});
        list = carver.take<uint64_t>(chunk * capacity);
        count = carver.take<int>(chunk);
        threshold = carver.take<float>(chunk);
        overflowed = carver.take<int>(chunk);
        counts = carver.take<SelectionCounts>(1);
        const bool thresholds = params.has(SAE_THRESHOLDS);
        bars.bias = thresholds ? carver.take<float>(params.d_sae) : nullptr;
        bars.groups = thresholds ? carver.take<LatentBound>(divide_up(params.d_sae, kLatentGroup)) : nullptr;
        slots = std::min(chunk, std::max<int64_t>(kRecomputed / params.d_sae, 1));
        scores = carver.take<float>(slots * params.d_sae);
        kept = carver.take<int>(rows);
        starts = carver.take<int64_t>(rows + 1);
    }
};

/* The number of entries, once `into` is complete; starts: [rows + 1]. */
int64_t finish(const Context &context, const RuleInput &input, const RaggedOutput &output, const int64_t *starts,
               int64_t rows) {
    require_finite_rows(context, input.bad_row, rows);
    const int64_t entries = read_start(context, starts + rows);
    output.download(entries);
    return entries;
}

int64_t encode_dense(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into) {
    Context &context = *params.context;
    const auto scratch = context.scratch.make<DenseScratch>(params, rows, x, into);
    clear_bad_row(context, scratch.input.bad_row);
    const float *input = prepare_input(params, scratch.input, rows, scratch.input.bad_row);
    const Ragged ragged = scratch.output.rows(scratch.starts);
    check(cudaMemsetAsync(scratch.starts, 0, sizeof(int64_t), context.stream), "clearing a count");
    for (int64_t first = 0; first < rows; first += scratch.chunk) {
        const int64_t count = std::min(scratch.chunk, rows - first);
        multiply_rows(params, scratch.input.rounded, input, first, count, nullptr, scratch.scores);
        const Products products{scratch.scores, params.d_sae, nullptr, first, firing_of(params)};
        check(launch_count(products, count, scratch.kept, context.stream), "counting what fires");
        check(launch_scan(scratch.kept, first, count, ragged, context.stream), "placing rows");
        check(launch_fill(products, count, ragged, context.stream), "writing what fires");
    }
    return finish(context, scratch.input, scratch.output, scratch.starts, rows);
}

/* The listed method. */
class Listed {
  public:
    Listed(const Params &params, const ListScratch &scratch, const float *input, int64_t rows)
        : p_(params), c_(*params.context), s_(scratch), input_(input), rows_(rows) {}

    void run() {
        const bool thresholds = p_.has(SAE_THRESHOLDS);
        if (thresholds) {
            check(launch_threshold_bars(p_.tensor(SAE_B_ENC), p_.tensor(SAE_THRESHOLD), shadow_, s_.bars, c_.stream),
                  "preparing thresholds");
        }
        bias_ = thresholds ? s_.bars.bias : p_.tensor(SAE_B_ENC);
        groups_ = thresholds ? s_.bars.groups : shadow_.groups;
        clear(s_.starts, 1);
        clear(s_.threshold, s_.chunk);
        for (int64_t first = 0; first < rows_; first += s_.chunk) {
            encode_rows(first, std::min(s_.chunk, rows_ - first));
        }
    }

  private:
    template <typename T>
    void clear(T *from, int64_t count) const {
        check(cudaMemsetAsync(from, 0, static_cast<size_t>(count) * sizeof(T), c_.stream), "clearing counts");
    }

    void encode_rows(int64_t first, int64_t rows) const {
        const Ragged ragged = s_.output.rows(s_.starts);
        clear(s_.count, rows);
        clear(s_.counts, 1);
        list(first, rows);
        const int64_t overflowed = read_overflowed();
        for (int64_t at = 0; at < overflowed; at += s_.slots) {
            recompute(at);
            check(launch_count(products(at), std::min(s_.slots, overflowed - at), s_.kept, c_.stream),
                  "counting what fires");
        }
        check(launch_scan(s_.kept, first, rows, ragged, c_.stream), "placing rows");
        check(launch_fill_listed(s_.list, s_.capacity, s_.count, s_.kept, first, rows, ragged, c_.stream),
              "writing what fires");
        for (int64_t at = 0; at < overflowed; at += s_.slots) {
            if (overflowed > s_.slots) { // other rows took their place
                recompute(at);
            }
            check(launch_fill(products(at), std::min(s_.slots, overflowed - at), ragged, c_.stream),
                  "writing what fires");
        }
    }

    void list(int64_t first, int64_t rows) const {
        const RowBound *bounds = s_.input.rounded.bounds + first;
        const Operands operands{
            .x = s_.input.rounded.rounded + first * shadow_.depth,
            .rows = rows,
            .w = shadow_.rounded,
            .bias = bias_,
            .d_sae = p_.d_sae,
            .depth = shadow_.depth,
            .last = p_.d_sae,
            .format = shadow_.format,
        };
        check(launch_preactivations(c_, operands,
                                    ListTarget{s_.list, s_.count, s_.threshold, s_.capacity, bounds, groups_}),
              "listing candidates");
        const Settle settle{
            .list = s_.list,
            .count = s_.count,
            .capacity = s_.capacity,
            .rows = bounds,
            .all = shadow_.groups + divide_up(p_.d_sae, kLatentGroup),
            .input = input_ + first * p_.d_in,
            .w_enc = p_.tensor(SAE_W_ENC),
            .d_in = p_.d_in,
            .firing = firing_of(p_),
            .first_row = first,
            .kept = s_.kept,
            .overflowed = s_.overflowed,
            .counts = s_.counts,
        };
        check(launch_settle(settle, rows, c_.stream), "settling candidates");
    }

    int64_t read_overflowed() const {
        SelectionCounts counts{};
        check(cudaMemcpyAsync(&counts, s_.counts, sizeof counts, cudaMemcpyDeviceToHost, c_.stream), "reading counts");
        c_.synchronize();
        return counts.overflowed;
    }

    /* Products of overflowed rows [first, first + slots) with all latents. */
    void recompute(int64_t first) const {
        Recompute job{};
        job.overflowed = s_.overflowed;
        job.counts = s_.counts;
        job.first = first;
        job.slots = s_.slots;
        job.input = input_;
        job.w_enc = p_.tensor(SAE_W_ENC);
        job.d_in = p_.d_in;
        job.columns = p_.d_sae;
        job.scores = s_.scores;
        check(launch_recompute(c_, job), "recomputing rows");
    }

    Products products(int64_t first) const { return {s_.scores, p_.d_sae, s_.overflowed + first, 0, firing_of(p_)}; }

    const Params &p_;
    const Context &c_;
    const ListScratch &s_;
    const float *input_;
    const int64_t rows_;
    const ShadowView shadow_ = shadow_view(p_);
    const float *bias_ = nullptr;
    const LatentBound *groups_ = nullptr;
};

int64_t encode_listed(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into) {
    Context &context = *params.context;
    const auto scratch = context.scratch.make<ListScratch>(params, rows, x, into);
    clear_bad_row(context, scratch.input.bad_row);
    const float *input = prepare_input(params, scratch.input, rows, scratch.input.bad_row);
    refresh_shadow(params);
    Listed(params, scratch, input, rows).run();
    return finish(context, scratch.input, scratch.output, scratch.starts, rows);
}

} // namespace

int64_t encode_threshold(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into) {
    require_size(rows, 1);
    return is_listed(params) ? encode_listed(params, x, rows, into) : encode_dense(params, x, rows, into);
}

} // namespace sae::cuda
