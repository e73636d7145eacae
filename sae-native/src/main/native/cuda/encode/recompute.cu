/*
 * recompute.cu: the rows whose list overflowed (select.cu), from all latents: a product over all of them, then top-k.
 *
 * in:  overflowed int32, its number in counts; input, W_enc float32, or both in bf16; b_enc float32
 * out: indices int32, values float32 of those rows, as topk.cuh orders them
 * A tile is 8 of the n rows by 16 latents: a warp computes 4 by 4 products (warp_dot.cuh), each lane a part of the
 * depth. The block that finishes the last tile of its 8 rows chooses their k largest: nothing waits, and one launch is
 * enough for `slots` rows. Their scores take the place of the lists, which have been read by then.
 * FLOP 2 n m d. Bytes from L2: 3 / 16 of 4 n m d, since a tile's rows and latents are shared through L1; W_enc comes
 * from HBM once for all rows, however few they are. Expected at d = 4096, m = 16,384: 0.1 ms for one row, 40 ms for 4096.
 * Launch: at most 2 blocks of 256 threads per multiprocessor, tiles in turn, rows fastest; without overflowed rows it
 * costs one read. 9.2 KiB static shared memory.
 * Deterministic: integer atomics decide only which block chooses, never what. Not measured yet.
 */
#include "recompute.h"

#include <algorithm>

#include "topk.cuh"
#include "warp_dot.cuh"

namespace sae::cuda {
namespace {

constexpr int kEach = 4;         // rows and latents of a warp
constexpr int kTileLatents = 16; // of a tile
constexpr int kBlocksPerSm = 2;
static_assert(kRecomputeRows / kEach * (kTileLatents / kEach) == kWarps, "the warps cover the tile");

/* Rows and latents beyond the last repeat it; their results are dropped. */
template <int Width, typename Element>
__device__ inline void multiply_tile(const Recompute &job, const Element *x, const Element *w, int64_t stride,
                                     int64_t d, int64_t first_slot, int64_t count, int64_t first_latent) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int64_t slot = first_slot + warp % (kRecomputeRows / kEach) * kEach;
    const int64_t latent = first_latent + warp / (kRecomputeRows / kEach) * kEach;
    const Element *rows[kEach];
    const Element *latents[kEach];
    for (int i = 0; i < kEach; i++) {
        const int64_t at = slot + i < count ? slot + i : count - 1;
        rows[i] = x + job.overflowed[job.first + at] * stride;
        latents[i] = w + (latent + i < job.columns ? latent + i : job.columns - 1) * stride;
    }
    float sums[kEach][kEach];
    warp_dots<Width>(rows, latents, d, sums);
    float mine = 0.0f; // lane r kEach + l keeps that product
#pragma unroll
    for (int i = 0; i < kEach * kEach; i++) {
        mine = lane == i ? sums[i / kEach][i % kEach] : mine;
    }
    const int64_t row = slot + lane / kEach;
    const int64_t column = latent + lane % kEach;
    if (lane < kEach * kEach && row < count && column < job.columns) {
        job.scores[row * job.columns + column] = job.b_enc == nullptr ? mine : mine + job.b_enc[column];
    }
}

/* Whether this block's tile was the last one of its rows; their scores are visible to it then. */
__device__ inline bool finish_tile(int *done, int64_t tiles) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(done, 1) == static_cast<int>(tiles) - 1;
        __threadfence();
    }
    __syncthreads();
    return last;
}

template <int Width, typename Element>
__global__ void __launch_bounds__(kThreads)
    recompute_kernel(Recompute job, const Element *x, const Element *w, int64_t stride, int64_t d) {
    const int64_t left = job.counts->overflowed - job.first;
    const int64_t count = left < job.slots ? left : job.slots;
    if (count <= 0) {
        return;
    }
    const int64_t row_tiles = (count + kRecomputeRows - 1) / kRecomputeRows;
    const int64_t latent_tiles = (job.columns + kTileLatents - 1) / kTileLatents;
    for (int64_t tile = blockIdx.x; tile < row_tiles * latent_tiles; tile += gridDim.x) {
        const int64_t first_slot = tile % row_tiles * kRecomputeRows;
        multiply_tile<Width>(job, x, w, stride, d, first_slot, count, tile / row_tiles * kTileLatents);
        if (job.k == 0 || !finish_tile(job.done + tile % row_tiles, latent_tiles)) {
            continue;
        }
        for (int64_t slot = first_slot; slot < first_slot + kRecomputeRows && slot < count; slot++) {
            const int64_t row = job.overflowed[job.first + slot];
            topk_row(job.scores + slot * job.columns, job.columns, nullptr, nullptr, job.k, nullptr,
                     job.indices + row * job.k, job.values + row * job.k);
            __syncthreads(); // the next row uses the same shared memory
        }
    }
}

} // namespace

cudaError_t launch_recompute(const Context &context, const Recompute &job) {
    const int64_t tiles = divide_up(job.slots, kRecomputeRows) * divide_up(job.columns, kTileLatents);
    const int64_t blocks = std::min<int64_t>(tiles, kBlocksPerSm * context.properties.multiProcessorCount);
    if (job.rounded != nullptr) {
        return launch(recompute_kernel<4, Bf16>, blocks, context.stream, job,
                      reinterpret_cast<const Bf16 *>(job.rounded), reinterpret_cast<const Bf16 *>(job.w), job.depth,
                      job.depth);
    }
    return launch(job.d_in % 4 == 0 ? recompute_kernel<4, float> : recompute_kernel<1, float>, blocks, context.stream,
                  job, job.input, job.w_enc, job.d_in, job.d_in);
}

} // namespace sae::cuda
