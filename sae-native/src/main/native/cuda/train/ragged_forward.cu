/*
 * ragged_forward.cu: what the rule of a ragged step keeps of a batch, into the step's scratch.
 *
 *   SAE_BATCH_TOPK       as sae_encode (encode_batch.cu); at most k rows entries. Ranked by norm, values are z |W_dec[j]| here
 *   SAE_THRESHOLD_RULE   products of a chunk of rows with all latents, in 32 MiB that stay in L2, are compared as they are
 *                        (list_latents.cu)
 *
 * 2 rows d_in d_sae FLOP, in float32 or, with precision=bf16, on the tensor cores.
 * How many entries SAE_THRESHOLD_RULE has is known only afterwards. They get the room that the largest batch so far took, or
 * 64 a row; a batch with more is counted, not written, the scratch grows, and it is listed again. So there is one wait a
 * batch, and the products are computed twice only for a batch that is larger than all before it by an eighth. The other ways
 * cost every batch: counting first computes all products twice, and an upper bound is rows d_sae entries.
 * NaN and infinity are reported here, before anything changes. Deterministic.
 */
#include "ragged_forward.h"

#include "../encode/prepare_rows.h"
#include "../encode/ragged_output.h"
#include "../operations.h"
#include "list_latents.h"
#include "penalty.h"
#include "ragged_counts.h"

namespace sae::cuda {
namespace {

constexpr int64_t kLeastRoom = 64; // entries a row
constexpr int64_t kMostEntries = INT_MAX;

/* The number of entries, also of those that there is no room for. */
int64_t list_latents(const Trainer &trainer, const RaggedScratch &s, const float *input, int64_t rows) {
    const Params &params = trainer.params;
    const Context &context = *params.context;
    const Listing listing{
        .bias = params.tensor(SAE_B_ENC),
        .threshold = trainer.trains(SAE_THRESHOLD) ? params.tensor(SAE_THRESHOLD) : nullptr,
        .half_bandwidth = trainer.penalty.bandwidth / 2,
        .r_mag = params.tensor(SAE_R_MAG),
        .b_mag = params.tensor(SAE_B_MAG),
    };
    const ListedEntries into{s.starts, s.indices, s.values, s.gates ? s.gates->gate : nullptr, s.row_of, s.room};
    check(cudaMemsetAsync(s.starts, 0, sizeof(int64_t), context.stream), "clearing a count");
    for (int64_t first = 0; first < rows; first += s.selection.chunk) {
        const int64_t count = std::min(s.selection.chunk, rows - first);
        const float *scores = s.selection.scores;
        multiply_rows(params, s.selection.rounded, input, first, count, nullptr, s.selection.scores);
        check(launch_count_listed(scores, first, count, params.d_sae, listing, s.kept, context.stream),
              "counting what fires");
        check(launch_scan(s.kept, first, count, Ragged{s.starts, nullptr, nullptr, nullptr, 0}, context.stream),
              "placing rows");
        check(launch_list_latents(scores, first, count, params.d_sae, listing, into, context.stream),
              "listing what fires");
    }
    return read_start(context, s.starts + rows);
}

int64_t choose(const Trainer &trainer, const RaggedScratch &s, const float *input, int64_t rows) {
    if (s.rank != nullptr) {
        check(launch_row_norms(trainer.params.tensor(SAE_W_DEC), trainer.params.d_sae, trainer.params.d_out, s.rank,
                               trainer.params.context->stream),
              "measuring the decoder");
    }
    const int64_t entries = choose_of_batch(trainer.params, *s.choice, s.selection.rounded, input, rows, s.rank,
                                            Ragged{s.starts, nullptr, s.indices, s.values, s.room});
    check(launch_row_numbers(s.starts, rows, s.row_of, trainer.params.context->stream), "numbering rows");
    return entries;
}

} // namespace

RaggedForward forward_ragged(Trainer &trainer, const StepRows &of) {
    const int64_t rows = of.count;
    Context &context = *trainer.params.context;
    const bool by_batch = trainer.rule == SAE_BATCH_TOPK;
    require_size(rows, std::max({trainer.k, trainer.aux_levels.count * trainer.aux_k, int64_t{1}}));
    int64_t room =
        by_batch ? rows * trainer.k : std::max(trainer.room, rows * std::min(kLeastRoom, trainer.params.d_sae));
    for (;;) {
        const auto s = context.scratch.make<RaggedScratch>(trainer, of, room);
        clear_bad_row(context, s.bad_row);
        s.rows.upload();
        const float *at = s.rows.x.address;
        const float *input = prepare_rows(trainer.params, s.selection, at, rows, s.centred, s.bad_row);
        if (s.rows.has_target) {
            require_finite_on_device(trainer.params, s.rows.target(), rows, trainer.params.d_out, s.bad_row);
        }
        const int64_t entries = (by_batch ? choose : list_latents)(trainer, s, input, rows);
        require_finite_rows(context, s.bad_row, rows);
        if (entries > kMostEntries) {
            fail(SAE_OUT_OF_MEMORY, "expected at most " + std::to_string(kMostEntries) +
                                        " active latents in a batch, got " + std::to_string(entries) +
                                        "; train it in parts");
        }
        if (entries <= room) {
            trainer.room = by_batch ? 0 : room;
            return {s, {rows, entries, s.starts, s.indices, s.values, s.row_of}, at, s.rows.target(), input};
        }
        room = std::min(entries + entries / 8, kMostEntries);
    }
}

} // namespace sae::cuda
