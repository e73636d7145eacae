/*
 * lists.cu: what the weight update reads along each latent's list (csc.cu), in list order, and sums of long stretches
 * of it.
 *
 *   at list position p of entry e = order[p]:  row[p] = e / k,  z[p] = values[e],  dz[p] = sum over slices of dz_parts[e]
 *   squares: of e, r, g (forward.cu, summed over blocks), of z, of dz and of z_aux
 *   stretch q = positions [q S, (q + 1) S), S = kStretch, if all of them belong to one latent:
 *     by_z[q] = sum of z[p] g[row[p]];  by_dz[q] = sum of dz[p] input[row[p]];  bias[q] = sum of dz[p]
 *
 * in:  order, sorted (the latent at each position) uint32 [rows k], offsets int64 [d_sae + 1], values float32 [rows,
 *      k], dz_parts float32 [slices, rows k], forward squares double [3, blocks], g and input float32 or bf16 [rows,
 *      d_in]
 * out: row uint32, z, dz float32 [rows k]; partials double [6, kCollectBlocks]; by_z, by_dz float32 [stretches, d_in];
 *      bias float32 [stretches], stretches = rows k / S
 *
 * Stretches are cut at multiples of S of the whole array, so the offsets alone determine them and where their sums are:
 * a list is its head, its whole stretches in order, and its tail (row_update.cu). A latent that fires on half of the
 * rows is split across many blocks without atomics.
 * Bytes: collect: 8 + 4 slices read, 12 written per entry. Stretches: 8 d_in (4 in bf16) gathered per entry of a long
 * list; blocks of other stretches exit after two reads. Launch: collect: kCollectBlocks blocks, strided; stretches: a
 * block per stretch, kind and 256 chunks of columns.
 * Deterministic: fixed cuts, sums in list order. Not measured on a GPU yet.
 */
#include "lists.h"

#include "../device/reduce.cuh"
#include "../device/row_sums.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    collect_kernel(ListInputs in, const double *__restrict__ forward_squares, int64_t forward_blocks, LatentLists lists,
                   double *__restrict__ partials) {
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    constexpr int64_t kStride = kCollectBlocks * kThreads;
    double squares[kCollected] = {};
    for (int64_t at = first; at < forward_blocks; at += kStride) {
        for (int which = 0; which < 3; which++) {
            squares[which] += forward_squares[which * forward_blocks + at];
        }
    }
    const int64_t active = in.offsets[in.d_sae];
    for (int64_t at = first; at < active; at += kStride) {
        const uint32_t entry = in.order[at];
        const float z = in.values[entry];
        float dz = 0.0f;
        for (int64_t slice = 0; slice < in.slices; slice++) {
            dz += in.dz_parts[slice * in.entries + entry];
        }
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

template <typename Element, int Width>
__global__ void __launch_bounds__(kThreads)
    stretch_kernel(LatentLists lists, const uint32_t *__restrict__ sorted, int64_t d_sae, Gathered gradient,
                   Gathered input, int64_t d_in) {
    const int64_t column_blocks = (d_in + kThreads * Width - 1) / (kThreads * Width);
    const int64_t stretch = blockIdx.x / (2 * column_blocks);
    const int64_t rest = blockIdx.x % (2 * column_blocks);
    const bool by_dz = rest >= column_blocks;
    const int64_t begin = stretch * kStretch;
    const uint32_t latent = sorted[begin];
    if (latent != sorted[begin + kStretch - 1] || latent >= d_sae) {
        return; // the same for the whole block
    }
    const int64_t column = (rest % column_blocks * kThreads + threadIdx.x) * Width;
    float sum[1][Width] = {};
    float bias = 0.0f;
    add_rows<Element, Width, 1, 8>(lists.rows, by_dz ? lists.dz : lists.z, begin, begin + kStretch,
                                   by_dz ? input : gradient, d_in, column, sum, bias);
    float *target = (by_dz ? lists.by_dz : lists.by_z) + stretch * d_in;
    for (int at = 0; at < Width && column < d_in; at++) {
        target[column + at] = sum[0][at];
    }
    if (by_dz && rest == column_blocks && threadIdx.x == 0) {
        lists.bias[stretch] = bias;
    }
}

} // namespace

cudaError_t launch_collect(const ListInputs &in, const double *forward_squares, int64_t forward_blocks,
                           const LatentLists &lists, double *partials, cudaStream_t stream) {
    return launch(collect_kernel, kCollectBlocks, stream, in, forward_squares, forward_blocks, lists, partials);
}

cudaError_t launch_stretches(const LatentLists &lists, const uint32_t *sorted, int64_t entries, int64_t d_sae,
                             const Gathered &gradient, const Gathered &input, int64_t d_in, cudaStream_t stream) {
    const bool wide = d_in % 4 == 0;
    const int64_t blocks = entries / kStretch * 2 * divide_up(d_in, kThreads * (wide ? 4 : 1));
    const auto kernel = gradient.bf16 ? (wide ? stretch_kernel<Bf16, 4> : stretch_kernel<Bf16, 1>)
                                      : (wide ? stretch_kernel<float, 4> : stretch_kernel<float, 1>);
    return launch(kernel, blocks, stream, lists, sorted, d_sae, gradient, input, d_in);
}

} // namespace sae::cuda
