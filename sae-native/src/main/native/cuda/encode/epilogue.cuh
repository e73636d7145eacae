/*
 * epilogue.cuh: what a pre-activation kernel does with its results, straight from registers.
 *
 * A result d is the product of what was rounded; the row's scale (rounding.cuh) makes it z' = scale d.
 * Stored:  scores[row, column - first] = z' + b, or added to what is there, or scores[column - first, row] = z' + b
 * Listed:  (z' + b, column) is appended to the row's list when it may be among the row's k largest values:
 *
 *   z' + b + M >= t and z' + b + M > 0       t: the row's threshold, M: the margin of the group (rounding.cuh), 0 without one
 *
 * t is the k-th largest of lower bounds z' + b - M of columns that were seen before this launch. The k-th largest value
 * of a part is never above the k-th largest of the whole, so nothing left out can be chosen, whatever t is; a low t
 * only makes lists longer.
 * t is constant within a launch: the set listed, and whether it fits, depend only on the values. The order in a list is
 * arbitrary, and nothing below depends on it.
 *
 * A warp holds 16 rows of results as the tensor cores leave them: lane l has columns 2 (l % 4) and + 1 of every 8, of
 * rows l / 4 and l / 4 + 8. Listing is two passes:
 *   find   z' + b against what the row needs (Bar), into a bit mask: FFMA, FSETP and a predicated OR each
 *   put    one atomic per row and warp (its four lanes add their counts first); then the columns in which any lane of the
 *          warp has a hit, by __reduce_or_sync over the masks
 * Latents with thresholds are listed the same way: the bias is what is left above the threshold, and t = 0 (settle.cu).
 */
#ifndef SAE_CUDA_EPILOGUE_CUH
#define SAE_CUDA_EPILOGUE_CUH

#include "../device/tensor_core.cuh"
#include "preact.h"
#include "rounding.cuh"
#include "shadow.h"

namespace sae::cuda {

constexpr int kFragmentRows = 16;
constexpr unsigned kFullWarp = 0xFFFFFFFFu;

/* Columns of this launch, as bias and limits index them. */
struct Columns {
    const float *bias;
    const int *names;
    int64_t first;
    int64_t last;

    __device__ float bias_of(int64_t column) const {
        return bias == nullptr ? 0.0f : bias[names == nullptr ? column : names[column]];
    }
};

__device__ inline int64_t last_depth(const Operands &operands) {
    if (operands.n_depth == nullptr) {
        return operands.depth;
    }
    const int64_t active = (*operands.n_depth + kDepthStep - 1) / kDepthStep * kDepthStep;
    return active < operands.depth ? active : operands.depth;
}

__device__ inline int64_t last_column(const Operands &operands) {
    if (operands.n_depth != nullptr && *operands.n_depth == 0) {
        return operands.first;
    }
    const int64_t active = operands.n_active == nullptr ? operands.last : *operands.n_active;
    return active < operands.last ? active : operands.last;
}

template <Store kHow>
struct StoreScores {
    ScoreTarget to;
    int64_t rows;

    __device__ static void put(float score, float *target) { *target = kHow == Store::kAdd ? *target + score : score; }

    /* How far apart neighbours are in memory. */
    __device__ int64_t row_step() const { return kHow == Store::kTransposed ? 1 : to.stride; }
    __device__ int64_t column_step() const { return kHow == Store::kTransposed ? to.stride : 1; }
    __device__ float *at(const Columns &columns, int64_t row, int64_t column) const {
        return to.scores + row * row_step() + (column - columns.first) * column_step();
    }

    __device__ float scale(int64_t row) const { return to.rows == nullptr || row >= rows ? 1.0f : to.rows[row].scale; }

    __device__ void one(const Columns &columns, int64_t row, int64_t column, float value) const {
        if (row < rows && column < columns.last) {
            put(fmaf(value, scale(row), columns.bias_of(column)), at(columns, row, column));
        }
    }

    /* d: 4 values for each 8 columns, of which `column` is this lane's first. One running address: computing it for
     * each value took the transposing kernel of sm_90a from 3400 to 6008 instructions. */
    template <int kChunks>
    __device__ void fragment(const Columns &columns, int64_t row, int64_t column, const float (&d)[4 * kChunks]) const {
        const bool first = row < rows;
        const bool second = row + 8 < rows;
        const float first_scale = scale(row);
        const float second_scale = scale(row + 8);
        const int inside = static_cast<int>(columns.last - column);
        float *target = at(columns, row, column);
        SAE_UNROLL
        for (int chunk = 0; chunk < kChunks; chunk++) {
            SAE_UNROLL
            for (int side = 0; side < 2; side++) {
                if (8 * chunk + side < inside) {
                    const float bias = columns.bias_of(column + 8 * chunk + side);
                    float *place = target + side * column_step();
                    if (first) {
                        put(fmaf(d[4 * chunk + side], first_scale, bias), place);
                    }
                    if (second) {
                        put(fmaf(d[4 * chunk + 2 + side], second_scale, bias), place + 8 * row_step());
                    }
                }
            }
            target += 8 * column_step();
        }
    }
};

/* Runs a launch with the target's epilogue. */
template <typename Run>
cudaError_t storing(const ScoreTarget &target, int64_t rows, const Run &run) {
    switch (target.how) {
    case Store::kAdd:
        return run(StoreScores<Store::kAdd>{target, rows});
    case Store::kTransposed:
        return run(StoreScores<Store::kTransposed>{target, rows});
    default:
        return run(StoreScores<Store::kSet>{target, rows});
    }
}

__device__ inline uint64_t list_entry(float value, int64_t column) {
    return static_cast<uint64_t>(__float_as_uint(value)) << 32 | static_cast<uint32_t>(column);
}

/* The least z that may matter: not below `threshold` and above 0 when it is raised by `margin` >= 0. */
__device__ inline float least_score(float threshold, float margin) {
    if (threshold > 0.0f) {
        return threshold - margin;
    }
    return margin == 0.0f ? __uint_as_float(1u)
                          : -__uint_as_float(__float_as_uint(margin) - 1u); // the next above -margin
}

/* Biases of kGroup chunks of columns, from `bias` + 8 first_chunk; 0 at `inside` and beyond. kWhole: there are
 * none. */
constexpr int kGroup = 4;
template <bool kWhole>
struct Biases {
    float of[2 * kGroup];

    __device__ Biases(const float *bias, int first_chunk, int inside) {
        SAE_UNROLL
        for (int i = 0; i < kGroup; i++) {
            const int at = 8 * (first_chunk + i);
            if constexpr (kWhole) {
                const float2 two = *reinterpret_cast<const float2 *>(bias + at);
                of[2 * i] = two.x;
                of[2 * i + 1] = two.y;
            } else {
                of[2 * i] = at < inside ? bias[at] : 0.0f;
                of[2 * i + 1] = at + 1 < inside ? bias[at + 1] : 0.0f;
            }
        }
    }
};

/* Candidates of one row that a lane found: bit 2 c + s of its mask is side s of chunk c. */
template <int kWords>
struct Hits {
    unsigned mask[kWords] = {};
    unsigned next = 0; // where the next one goes, in all the lists
    unsigned end = 0;  // of the row's list

    __device__ bool has(int value) const { return (mask[value / 32] >> value % 32 & 1u) != 0; }
    __device__ int count() const {
        int sum = 0;
        SAE_UNROLL
        for (int word = 0; word < kWords; word++) {
            sum += __popc(mask[word]);
        }
        return sum;
    }
};

template <bool kBounded>
struct ListCandidates {
    ListTarget to;
    int64_t rows;

    /* A NaN score says nothing about its value; where the score is the value, NaN counts as 0. */
    __device__ static bool may_matter(float score, float least) { return kBounded ? !(score < least) : score >= least; }

    /* What a result of a row needs to be listed. */
    struct Bar {
        float scale;
        float least;

        __device__ float score(float value, float bias) const { return fmaf(value, scale, bias); }
        __device__ bool passed(float value, float bias) const { return may_matter(score(value, bias), least); }
    };

    __device__ Bar bar(int64_t row, int64_t column) const {
        if constexpr (kBounded) {
            const RowBound bound = to.rows[row];
            return {bound.scale, least_score(to.threshold[row], margin(bound, to.groups[column / kLatentGroup]))};
        } else {
            return {1.0f, least_score(to.threshold[row], 0.0f)};
        }
    }

    __device__ void one(const Columns &columns, int64_t row, int64_t column, float value) const {
        if (row >= rows || column >= columns.last) {
            return;
        }
        const Bar needs = bar(row, column);
        const float bias = columns.bias_of(column);
        if (needs.passed(value, bias)) {
            put(row, atomicAdd(&to.count[row], 1), needs.score(value, bias), column);
        }
    }

    __device__ void put(int64_t row, int slot, float score, int64_t column) const {
        if (slot < to.capacity) {
            to.list[row * to.capacity + slot] = list_entry(score, column);
        }
    }

    /* Columns have no names here. 32-bit counts and offsets, since results take 128 registers. */
    template <int kChunks>
    __device__ void fragment(const Columns &columns, int64_t row, int64_t column, const float (&d)[4 * kChunks]) const {
        const bool whole = columns.last - column / kLatentGroup * kLatentGroup >= kLatentGroup; // the same for the warp
        if (whole) {
            list<kChunks, true>(columns, row, column, d);
        } else {
            list<kChunks, false>(columns, row, column, d);
        }
    }

  private:
    template <int kChunks, bool kWhole>
    __device__ void list(const Columns &columns, int64_t row, int64_t column, const float (&d)[4 * kChunks]) const {
        constexpr int kWords = (2 * kChunks + 31) / 32;
        static_assert(kChunks % kGroup == 0, "whole groups");
        const float *bias = columns.bias + column;
        const int inside = static_cast<int>(columns.last - column);
        Hits<kWords> hits[2];
        const Bar bars[2] = {row < rows ? bar(row, column) : Bar{}, row + 8 < rows ? bar(row + 8, column) : Bar{}};
        find<kChunks, kWhole>(bias, inside, bars, d, hits);
        SAE_UNROLL
        for (int word = 0; word < kWords; word++) {
            const unsigned valid = kWhole ? kFullWarp : columns_inside(inside - 128 * word);
            hits[0].mask[word] &= row < rows ? valid : 0u;
            hits[1].mask[word] &= row + 8 < rows ? valid : 0u;
        }
        reserve(row, hits[0]);
        reserve(row + 8, hits[1]);
        SAE_UNROLL
        for (int word = 0; word < kWords; word++) {
            const unsigned any = __reduce_or_sync(kFullWarp, hits[0].mask[word] | hits[1].mask[word]);
            put_columns<kChunks, kWhole>(word, any, bias, inside, static_cast<int>(column), bars, d, hits);
        }
    }

    /* Bits of a mask's word whose columns are below `inside`, counted from the word's first. */
    __device__ static unsigned columns_inside(int inside) {
        const int values = inside <= 0 ? 0 : inside / 8 * 2 + (inside % 8 < 2 ? inside % 8 : 2);
        return values < 32 ? (1u << values) - 1u : kFullWarp;
    }

    template <int kChunks, bool kWhole, int kWords>
    __device__ static void find(const float *bias, int inside, const Bar (&bars)[2], const float (&d)[4 * kChunks],
                                Hits<kWords> (&hits)[2]) {
        Biases<kWhole> next(bias, 0, inside);
        SAE_UNROLL
        for (int group = 0; group < kChunks; group += kGroup) {
            const Biases<kWhole> now = next;
            if (group + kGroup < kChunks) {
                next = Biases<kWhole>(bias, group + kGroup, inside); // in flight during the comparisons
            }
            ptx::keep_order(); // no more than that: all at once would need as many registers
            SAE_UNROLL
            for (int i = 0; i < 2 * kGroup; i++) {
                const int value = 2 * group + i;
                const unsigned bit = 1u << value % 32;
                SAE_UNROLL
                for (int half = 0; half < 2; half++) {
                    if (bars[half].passed(d[value / 2 * 4 + 2 * half + value % 2], now.of[i])) {
                        hits[half].mask[value / 32] |= bit;
                    }
                }
            }
        }
    }

    /* Places in the row's list for the hits of its four lanes. */
    template <int kWords>
    __device__ void reserve(int64_t row, Hits<kWords> &hits) const {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int count = hits.count();
        const int neighbour = __shfl_xor_sync(kFullWarp, count, 1);
        const int across = __shfl_xor_sync(kFullWarp, count + neighbour, 2);
        int slot = 0;
        if (lane % 4 == 0 && count + neighbour + across > 0) {
            slot = atomicAdd(&to.count[row], count + neighbour + across);
        }
        slot = __shfl_sync(kFullWarp, slot, lane / 4 * 4);
        slot = slot < to.capacity ? slot : static_cast<int>(to.capacity); // of a row that has overflowed
        const auto first = static_cast<unsigned>(row * to.capacity);
        hits.next = first + slot + (lane & 1 ? neighbour : 0) + (lane & 2 ? across : 0);
        hits.end = first + static_cast<unsigned>(to.capacity);
    }

    /* Columns of a mask's word with a bit in `any`, which is the same for the warp. */
    template <int kChunks, bool kWhole, int kWords>
    __device__ void put_columns(int word, unsigned any, const float *bias, int inside, int column, const Bar (&bars)[2],
                                const float (&d)[4 * kChunks], Hits<kWords> (&hits)[2]) const {
        SAE_UNROLL
        for (int first = 0; first < 16 && 16 * word + first < kChunks; first += kGroup) {
            if ((any >> 2 * first & 0xFFu) == 0) {
                continue;
            }
            const int chunk = 16 * word + first;
            const Biases<kWhole> biases(bias, chunk, inside);
            SAE_UNROLL
            for (int i = 0; i < 2 * kGroup; i++) {
                if ((any >> (2 * first + i) & 1u) == 0) {
                    continue;
                }
                const int value = 2 * chunk + i;
                SAE_UNROLL
                for (int half = 0; half < 2; half++) {
                    Hits<kWords> &of = hits[half];
                    if (of.has(value) && of.next < of.end) {
                        to.list[of.next] =
                            list_entry(bars[half].score(d[value / 2 * 4 + 2 * half + value % 2], biases.of[i]),
                                       column + value / 2 * 8 + value % 2);
                        of.next++;
                    }
                }
            }
        }
    }
};

} // namespace sae::cuda
#endif
