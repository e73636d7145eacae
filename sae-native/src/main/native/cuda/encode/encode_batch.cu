/*
 * encode_batch.cu: SAE_BATCH_TOPK: of all rows together the k rows largest p > 0, of equal ones the first.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 and values float32 [entries]
 *
 * With n = k rows: products of a chunk of rows with all latents (32 MiB, in the context's precision) are compared with a
 * bound that all rows share, and what is above it joins the entries so far, in the order of rows and latents. Whenever
 * there are more than 2 n, the n largest stay and the n-th becomes the bound (batch_cut.cu). What comes later and equals
 * it loses to what came first, so the result is that of one sort of everything, whatever the chunks are.
 * The host waits once a chunk for the number of entries. Cuts are rare, since each takes n new entries above a bound that
 * only rises. Memory: 16 bytes for each of 2 n entries and of a chunk's products. Deterministic. Not measured yet.
 */
#include <algorithm>
#include <utility>

#include "../operations.h"
#include "batch_choice.h"
#include "ragged_output.h"

namespace sae::cuda {

int64_t choose_of_batch(const Params &params, const BatchChoice &scratch, const RowsView &rounded, const float *input,
                        int64_t rows, const float *norms, const Ragged &into) {
    const Context &context = *params.context;
    const int64_t wanted = rows * scratch.k;
    const int64_t most = 2 * wanted; // entries between two chunks
    const auto clear = [&](void *from, size_t bytes) {
        check(cudaMemsetAsync(from, 0, bytes, context.stream), "clearing a count");
    };
    const auto find_cut = [&](const Ragged &from, int64_t entries) {
        check(launch_find_cut(from.values, entries, wanted, scratch.cut, scratch.counts, context.stream),
              "finding the batch's bound");
    };
    const auto cut = [&](const Ragged &from, int64_t n, const Ragged &to) {
        check(launch_cut(from, n, scratch.cut, scratch.kept, scratch.equal, to, context.stream),
              "keeping the batch's largest");
    };
    clear(scratch.cut, sizeof(BatchCut));
    clear(scratch.sets[0].starts, sizeof(int64_t));
    clear(scratch.sets[1].starts, sizeof(int64_t));
    clear(into.starts, sizeof(int64_t));
    const Firing firing{params.tensor(SAE_B_ENC), nullptr, nullptr, nullptr, &scratch.cut->value, norms};
    Ragged now = scratch.sets[0];
    Ragged other = scratch.sets[1];
    int64_t entries = 0;
    for (int64_t first = 0; first < rows; first += scratch.chunk) {
        const int64_t count = std::min(scratch.chunk, rows - first);
        if (entries > most) {
            find_cut(now, entries);
            cut(now, first, other);
            std::swap(now, other);
        }
        multiply_rows(params, rounded, input, first, count, nullptr, scratch.scores);
        const Products products{scratch.scores, params.d_sae, nullptr, first, firing};
        check(launch_count(products, count, scratch.kept, context.stream), "counting what is above the bound");
        check(launch_scan(scratch.kept, first, count, now, context.stream), "placing rows");
        check(launch_fill(products, count, now, context.stream), "writing what is above the bound");
        entries = read_start(context, now.starts + first + count);
    }
    if (entries > wanted) {
        find_cut(now, entries);
    } else {
        clear(scratch.cut, sizeof(BatchCut));
    }
    cut(now, rows, into);
    return std::min(entries, wanted);
}

namespace {

struct BatchScratch {
    RuleInput input;
    BatchChoice choice;
    int64_t *starts; // [rows + 1]
    RaggedOutput output;

    BatchScratch(Carver &carver, const Params &params, int64_t rows, const Buffer &x, const sae_latents &into)
        : input(carver, params, rows, params.context->precision == Precision::kBf16, x),
          choice(carver, params, rows, into.k), starts(carver.take<int64_t>(rows + 1)), output(carver, rows, into) {}
};

} // namespace

int64_t encode_batch_topk(const Params &params, const Buffer &x, int64_t rows, const sae_latents &into) {
    Context &context = *params.context;
    require_size(rows, into.k);
    const auto scratch = context.scratch.make<BatchScratch>(params, rows, x, into);
    clear_bad_row(context, scratch.input.bad_row);
    const float *input = prepare_input(params, scratch.input, rows, scratch.input.bad_row);
    const int64_t entries = choose_of_batch(params, scratch.choice, scratch.input.rounded, input, rows, nullptr,
                                            scratch.output.rows(scratch.starts));
    require_finite_rows(context, scratch.input.bad_row, rows);
    scratch.output.download(entries);
    return entries;
}

} // namespace sae::cuda
