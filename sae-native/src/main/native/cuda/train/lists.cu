/*
 * lists.cu: what the weight update reads along each latent's list (csc.cu), in list order, sums of long stretches of it,
 * and what the rest of the step needs to know (decide.cuh).
 *
 *   at list position p of entry e = order[p]:  row[p] = e / k,  z[p] = values[e],  dz[p] = sum over slices of dz_parts[e]
 *   squares: of e, r, g (forward.cu, summed over blocks), of z, of dz and of z_aux
 *   stretch q = positions [q S, (q + 1) S), S = kStretch, if all of them belong to one latent:
 *     by_z[q] = sum of z[p] g[row[p]];  by_dz[q] = sum of dz[p] input[row[p]];  bias[q] = sum of dz[p]
 *
 * in:  order, sorted (the latent at each position) uint32 [rows k], offsets int64 [d_sae + 1], values float32 [rows,
 *      k], dz_parts float32 [slices, rows k], forward squares double [3, blocks], g and input float32 or bf16 [rows,
 *      d_in]
 * out: row uint32, z, dz float32 [rows k]; by_z, by_dz float32 [stretches, d_in]; bias float32 [stretches],
 *      stretches = rows k / S; StepSums, StepStatus
 * scratch: partials double [6, kCollectBlocks]; a counter
 *
 * Stretches are cut at multiples of S of the whole array, so the offsets alone determine them and where their sums are:
 * a list is its head, its whole stretches in order, and its tail (row_update.cu). A latent that fires on half of the
 * rows is split across many blocks without atomics. A stretch looks up its own rows and factors, so that it need not
 * wait for the collected ones: one launch, three before.
 * Bytes: collect: 8 + 4 slices read, 12 written per entry. Stretches: 8 d_in (4 in bf16) gathered per entry of a long
 * list, kStretchRows rows in flight; blocks of other stretches exit after two reads. Launch: kCollectBlocks blocks that
 * collect, strided, the last of which decides; then a block per stretch, kind and 256 chunks of columns.
 * Deterministic: fixed cuts, sums in list order. Not measured on a GPU yet.
 */
#include "lists.h"

#include "../device/last_block.cuh"
#include "../device/reduce.cuh"
#include "../device/row_sums.cuh"
#include "decide.cuh"

namespace sae::cuda {
namespace {

constexpr int kStretchRows = 16; // in flight
static_assert(kStretch <= kThreads, "a thread looks up an entry");

__device__ inline float dz_of(const ListInputs &in, uint32_t entry) {
    float dz = 0.0f;
    for (int64_t slice = 0; slice < in.slices; slice++) {
        dz += in.dz_parts[slice * in.entries + entry];
    }
    return dz;
}

__device__ inline void collect(const ListInputs &in, const LatentLists &lists, double *partials) {
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    constexpr int64_t kStride = kCollectBlocks * kThreads;
    double squares[kCollected] = {};
    for (int64_t at = first; at < in.forward_blocks; at += kStride) {
        for (int which = 0; which < 3; which++) {
            squares[which] += in.forward_squares[which * in.forward_blocks + at];
        }
    }
    const int64_t active = in.offsets[in.d_sae];
    for (int64_t at = first; at < active; at += kStride) {
        const uint32_t entry = in.order[at];
        const float z = in.values[entry];
        const float dz = dz_of(in, entry);
        lists.rows[at] = entry / static_cast<uint32_t>(in.k);
        lists.z[at] = z;
        lists.dz[at] = dz;
        squares[3] += static_cast<double>(z) * z;
        squares[4] += static_cast<double>(dz) * dz;
    }
    for (int64_t at = first; in.n_dead != nullptr && *in.n_dead > 0 && at < in.aux_entries; at += kStride) {
        squares[5] += static_cast<double>(in.aux_values[at]) * in.aux_values[at];
    }
    block_sums(squares);
    if (threadIdx.x == 0) {
        for (int which = 0; which < kCollected; which++) {
            partials[which * kCollectBlocks + blockIdx.x] = squares[which];
        }
    }
}

/* For the last block that collects. */
__device__ inline void decide_from(const double *partials, const Decision &decision) {
    double squares[kCollected] = {};
    for (int64_t block = threadIdx.x; block < kCollectBlocks; block += kThreads) {
        for (int which = 0; which < kCollected; which++) {
            squares[which] += partials[which * kCollectBlocks + block];
        }
    }
    block_sums(squares);
    if (threadIdx.x == 0) {
        decide(decision, {squares[0], squares[1], squares[2], squares[3], squares[4], squares[5]});
    }
}

template <typename Element, int Width>
__device__ inline void sum_stretch(const ListInputs &in, const LatentLists &lists, int64_t share) {
    __shared__ uint32_t rows[kStretch];
    __shared__ float factors[kStretch];
    const int64_t column_blocks = (in.d_in + kThreads * Width - 1) / (kThreads * Width);
    const int64_t stretch = share / (2 * column_blocks);
    const int64_t rest = share % (2 * column_blocks);
    const bool by_dz = rest >= column_blocks;
    const int64_t begin = stretch * kStretch;
    if (begin + kStretch > in.offsets[in.d_sae] || in.sorted[begin] != in.sorted[begin + kStretch - 1]) {
        return; // the same for the whole block
    }
    if (threadIdx.x < kStretch) {
        const uint32_t entry = in.order[begin + threadIdx.x];
        rows[threadIdx.x] = entry / static_cast<uint32_t>(in.k);
        factors[threadIdx.x] = by_dz ? dz_of(in, entry) : in.values[entry];
    }
    __syncthreads();
    const int64_t column = (rest % column_blocks * kThreads + threadIdx.x) * Width;
    float sum[1][Width] = {};
    float bias = 0.0f;
    add_rows<Element, Width, 1, kStretchRows>(rows, factors, 0, kStretch, by_dz ? in.input : in.gradient, in.d_in,
                                              column, sum, bias);
    float *target = (by_dz ? lists.by_dz : lists.by_z) + stretch * in.d_in;
    for (int at = 0; at < Width && column < in.d_in; at++) {
        target[column + at] = sum[0][at];
    }
    if (by_dz && rest == column_blocks && threadIdx.x == 0) {
        lists.bias[stretch] = bias;
    }
}

template <typename Element, int Width>
__global__ void __launch_bounds__(kThreads, 3)
    lists_kernel(ListInputs in, LatentLists lists, Decision decision, double *partials, uint32_t *arrived) {
    if (blockIdx.x >= kCollectBlocks) {
        sum_stretch<Element, Width>(in, lists, blockIdx.x - kCollectBlocks);
        return;
    }
    collect(in, lists, partials);
    if (is_last_block(arrived, kCollectBlocks)) {
        decide_from(partials, decision);
    }
}

} // namespace

cudaError_t launch_lists(const ListInputs &in, const LatentLists &lists, const Decision &decision, double *partials,
                         uint32_t *arrived, cudaStream_t stream) {
    const bool wide = in.d_in % 4 == 0;
    const int64_t stretches = in.entries / kStretch * 2 * divide_up(in.d_in, kThreads * (wide ? 4 : 1));
    const auto kernel = in.gradient.bf16 ? (wide ? lists_kernel<Bf16, 4> : lists_kernel<Bf16, 1>)
                                         : (wide ? lists_kernel<float, 4> : lists_kernel<float, 1>);
    return launch(kernel, kCollectBlocks + stretches, stream, in, lists, decision, partials, arrived);
}

} // namespace sae::cuda
