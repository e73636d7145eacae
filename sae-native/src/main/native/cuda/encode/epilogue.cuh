/*
 * epilogue.cuh: what a pre-activation kernel does with its results, straight from registers.
 *
 * Stored:  scores[row, column - first] = z' + b, or added to what is there, or scores[column - first, row] = z' + b
 * Listed:  (z' + b, column) is appended to the row's list when it may be among the row's k largest values:
 *
 *   z' + b + M >= t and z' + b + M > 0       t: the row's threshold, M: the margin of the group (bf16.cuh), 0 without one
 *
 * t is the k-th largest of lower bounds z' + b - M of columns that were seen before this launch. The k-th largest value
 * of a part is never above the k-th largest of the whole, so nothing left out can be chosen, whatever t is; a low t
 * only makes lists longer.
 * t is constant within a launch: the set listed, and whether it fits, depend only on the values. The order in a list is
 * arbitrary, and nothing below depends on it.
 *
 * A warp holds 16 rows of results as the tensor cores leave them: lane l has columns 2 (l % 4) and + 1 of every 8, of
 * rows l / 4 and l / 4 + 8. Listing: one comparison per element into a bit mask, one atomic per row and warp (its four
 * lanes add their counts first), then the stores; a warp without candidates does only the comparisons.
 */
#ifndef SAE_CUDA_EPILOGUE_CUH
#define SAE_CUDA_EPILOGUE_CUH

#include "../device/tensor_core.cuh"
#include "bf16.cuh"
#include "preact.h"
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

    __device__ void one(const Columns &columns, int64_t row, int64_t column, float value) const {
        if (row < rows && column < columns.last) {
            put(value + columns.bias_of(column), at(columns, row, column));
        }
    }

    /* d: 4 values for each 8 columns, of which `column` is this lane's first. One running address: computing it for
     * each value took the transposing kernel of sm_90a from 3400 to 6008 instructions. */
    template <int kChunks>
    __device__ void fragment(const Columns &columns, int64_t row, int64_t column, const float (&d)[4 * kChunks]) const {
        const bool first = row < rows;
        const bool second = row + 8 < rows;
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
                        put(d[4 * chunk + side] + bias, place);
                    }
                    if (second) {
                        put(d[4 * chunk + 2 + side] + bias, place + 8 * row_step());
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

template <bool kBounded>
struct ListCandidates {
    ListTarget to;
    int64_t rows;

    /* A NaN score says nothing about its value; where the score is the value, NaN counts as 0. */
    __device__ static bool may_matter(float score, float least) { return kBounded ? !(score < least) : score >= least; }

    __device__ float least(int64_t row, int64_t column) const {
        return least_score(to.threshold[row], kBounded ? margin(to.rows[row], to.groups[column / kLatentGroup]) : 0.0f);
    }

    __device__ void one(const Columns &columns, int64_t row, int64_t column, float value) const {
        if (row >= rows || column >= columns.last) {
            return;
        }
        const float score = value + columns.bias_of(column);
        if (may_matter(score, least(row, column))) {
            put(row, atomicAdd(&to.count[row], 1), score, column);
        }
    }

    __device__ void put(int64_t row, int slot, float score, int64_t column) const {
        if (slot < to.capacity) {
            to.list[row * to.capacity + slot] = list_entry(score, column);
        }
    }

    /* Columns have no names here. Offsets from one pointer and 32-bit counts, since results take 128 registers. */
    template <int kChunks>
    __device__ void fragment(const Columns &columns, int64_t row, int64_t column, const float (&d)[4 * kChunks]) const {
        constexpr int kWords = (2 * kChunks + 31) / 32;
        const float *bias = columns.bias + column;
        const int inside = static_cast<int>(columns.last - column);
        unsigned hits[2][kWords] = {};
        const float first = row < rows ? least(row, column) : 0.0f;
        const float second = row + 8 < rows ? least(row + 8, column) : 0.0f;
        SAE_UNROLL
        for (int chunk = 0; chunk < kChunks; chunk++) {
            ptx::keep_order(); // loads of all the biases at once would need as many registers
            SAE_UNROLL
            for (int side = 0; side < 2; side++) {
                if (8 * chunk + side < inside) {
                    const float b = bias[8 * chunk + side];
                    const unsigned bit = 1u << (2 * chunk + side) % 32;
                    hits[0][chunk / 16] |= may_matter(d[4 * chunk + side] + b, first) ? bit : 0u;
                    hits[1][chunk / 16] |= may_matter(d[4 * chunk + 2 + side] + b, second) ? bit : 0u;
                }
            }
        }
        list_row<kChunks, 0>(bias, row, static_cast<int>(column), hits[0], d);
        list_row<kChunks, 2>(bias, row + 8, static_cast<int>(column), hits[1], d);
    }

  private:
    /* kOffset: of the row's values among the four of a chunk */
    template <int kChunks, int kOffset, int kWords>
    __device__ void list_row(const float *bias, int64_t row, int column, unsigned (&hits)[kWords],
                             const float (&d)[4 * kChunks]) const {
        int count = 0;
        SAE_UNROLL
        for (int word = 0; word < kWords; word++) {
            hits[word] = row < rows ? hits[word] : 0u;
            count += __popc(hits[word]);
        }
        if (__ballot_sync(kFullWarp, count > 0) == 0) {
            return;
        }
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int neighbour = __shfl_xor_sync(kFullWarp, count, 1);
        const int across = __shfl_xor_sync(kFullWarp, count + neighbour, 2);
        int slot = 0;
        if (lane % 4 == 0 && count + neighbour + across > 0) {
            slot = atomicAdd(&to.count[row], count + neighbour + across);
        }
        slot = __shfl_sync(kFullWarp, slot, lane / 4 * 4);
        slot += (lane & 1 ? neighbour : 0) + (lane & 2 ? across : 0);
        int room = static_cast<int>(to.capacity) - slot;
        if (count == 0 || room <= 0) {
            return;
        }
        uint64_t *next = to.list + row * to.capacity + slot;
        SAE_UNROLL
        for (int chunk = 0; chunk < kChunks; chunk++) {
            ptx::keep_order();
            SAE_UNROLL
            for (int side = 0; side < 2; side++) {
                if ((hits[chunk / 16] >> (2 * chunk + side) % 32 & 1u) != 0 && room > 0) {
                    *next =
                        list_entry(d[4 * chunk + kOffset + side] + bias[8 * chunk + side], column + 8 * chunk + side);
                    next++;
                    room--;
                }
            }
        }
    }
};

} // namespace sae::cuda
#endif
