/*
 * choose_ranked.cu: the k largest of each row where latents compete by something else than the value that is kept.
 *
 *   compared = norm (|z| | z | ReLU(z))      SAE_ABS_TOPK; dead latents with SAE_OPT_AUX_SIGNED; otherwise
 *   kept     = z | ReLU(z)                   with signs, or not; norm: 1, or |W_dec[j]| with SAE_OPT_RANK_BY_NORM
 *
 * in:  scores float32 [rows, d_sae] of all latents, or of a list of them in its order, as multiply_rows computes them
 * out: indices int32 and values float32 [rows, k]: what is compared descending, then lower column. Among all latents, what is
 *      compared as 0 is kept as 0, at the lowest columns. Of a list that has no more than k latents all are kept
 * Keys are 64 bits, an order-preserving image of the float that is compared above the column; they are made each time they
 * are read, so neither sizes nor norms exist as a matrix, and the value comes from the score of the key's column.
 * Bytes: a row is read 2 to 9 times (topk.cuh), mostly from L2, with 4 more an element for the norms; 8 rows k written.
 * Launch: a block of 256 threads per row and level. Neither list nor screen: the product with all latents is the cost.
 * Deterministic. Not measured on a GPU yet.
 */
#include "choose_ranked.h"

#include <algorithm>

#include "encode_rules.h"
#include "topk.cuh"

namespace sae::cuda {
namespace {

struct RankedRows {
    const float *scores; // [rows, columns]
    int64_t columns;
    const int *names;        // of columns; null: themselves
    const int *first, *last; // columns that count, on the device; null: from 0, and all
    int64_t k;
    Ranking ranking;
    uint64_t *keys; // [rows, padded]; null: shared memory
    int *indices;
    float *values;
};

class RankedKeys {
  public:
    __device__ inline RankedKeys(const float *scores, const int *names, const Ranking &by, bool keep_all)
        : scores_(scores), names_(names), by_(by), keep_all_(keep_all) {}

    __device__ inline uint64_t operator()(int64_t column) const {
        const uint32_t bits = __float_as_uint(compared(column));
        const uint32_t ordered = bits >> 31 != 0 ? ~bits : bits | 0x80000000u; // above 0 unless it is NaN
        return static_cast<uint64_t>(ordered) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(column));
    }
    __device__ inline float value(uint64_t key) const {
        const int column = column_of(key);
        const float z = scores_[column];
        const float kept = by_.signs ? z : fmaxf(z, 0.0f);
        return keep_all_ || compared(column) != 0.0f ? kept : 0.0f;
    }

  private:
    __device__ inline float compared(int64_t column) const {
        const float z = scores_[column];
        const float unscaled = by_.by_size ? fabsf(z) : by_.signs ? z : fmaxf(z, 0.0f);
        const float norm = by_.norms == nullptr ? 1.0f : by_.norms[names_ == nullptr ? column : names_[column]];
        return unscaled * norm + 0.0f; // not -0, which would come after 0
    }

    const float *scores_;
    const int *names_;
    const Ranking &by_;
    const bool keep_all_; // what is compared as 0 too
};

__global__ void __launch_bounds__(kThreads) ranked_kernel(RankedRows of) {
    const int64_t row = blockIdx.x;
    const int64_t first = of.first == nullptr ? 0 : *of.first;
    const int64_t active = (of.last == nullptr ? of.columns : *of.last) - first;
    const int *names = of.names == nullptr ? nullptr : of.names + first;
    const bool keep_all = names != nullptr && (of.ranking.signs || active <= of.k);
    const RankedKeys keys(of.scores + row * of.columns + first, names, of.ranking, keep_all);
    topk_of_keys(keys, active, names, of.k, of.keys == nullptr ? nullptr : of.keys + row * padded_size(of.k),
                 of.indices + row * of.k, of.values + row * of.k);
}

__global__ void __launch_bounds__(kThreads)
    unrank_kernel(const int *__restrict__ indices, const float *__restrict__ norms, int64_t entries,
                  float *__restrict__ values) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < entries && values[i] != 0.0f) { // then its norm is not 0
        values[i] /= norms[indices[i]];
    }
}

} // namespace

void choose_ranked(const Params &params, const RowsView &rounded, const ScoredChunk &scratch, const float *input,
                   int64_t rows, const RankedChoice &choice) {
    const int64_t k = choice.k;
    for (int64_t first = 0; first < rows; first += scratch.rows) {
        const int64_t count = std::min(scratch.rows, rows - first);
        multiply_rows(params, rounded, input, first, count, params.tensor(SAE_B_ENC), scratch.scores, choice.among,
                      choice.n_among);
        for (int64_t level = 0; level < choice.levels; level++) {
            const int64_t at = (level * rows + first) * k;
            const RankedRows of{
                .scores = scratch.scores,
                .columns = params.d_sae,
                .names = choice.among,
                .first = choice.starts == nullptr ? nullptr : choice.starts + level,
                .last = choice.starts == nullptr ? choice.n_among : choice.starts + level + 1,
                .k = k,
                .ranking = choice.ranking,
                .keys = topk_scratch(count, k) == 0 ? nullptr : scratch.keys,
                .indices = choice.indices + at,
                .values = choice.values + at,
            };
            check(launch(ranked_kernel, count, params.context->stream, of), "choosing by rank");
        }
    }
}

void choose_ranked(const Params &params, const Selection &selection, const float *input, const RankedChoice &choice) {
    if (choice.among == nullptr) {
        check(cudaMemsetAsync(selection.counts, 0, static_cast<size_t>(selection.cleared), params.context->stream),
              "clearing counts");
    }
    choose_ranked(params, selection.rounded, {selection.chunk, selection.scores, selection.keys}, input, selection.rows,
                  choice);
}

cudaError_t launch_unrank(const int *indices, const float *norms, int64_t entries, float *values, cudaStream_t stream) {
    return entries == 0 ? cudaSuccess
                        : launch(unrank_kernel, divide_up(entries, kThreads), stream, indices, norms, entries, values);
}

} // namespace sae::cuda
