/*
 * settle.cu: which listed candidates fire, by their float32 products: the second half of the screen for
 * SAE_THRESHOLD_RULE.
 *
 * The first half is the fused product of the k largest (epilogue.cuh) with a bound that needs no rounds: a latent fires
 * only if z_pre > T = max(threshold, 0), and its screened product p' is within M of p, so every latent with
 *
 *   p' + (b - T) + M > 0        M of rounding.cuh with 8 u (|b| + |T|) in place of 8 u |b|
 *
 * is listed, and no other can fire: fl(p + b) > T means p + b > T, since T is a float; b - T, and the sum with it, round
 * by at most 3 u (|b| + |T|). A gated latent's T is 0, and a second condition on the same product follows here.
 *
 * in:  list uint64 [rows, capacity] and its counts, x float32 [rows, d_in], W_enc float32
 * out: what fires, in the order of latents, and how much; rows whose list overflowed, or whose bounds do not hold
 * Candidates are sorted by latent (blocks that run together go through W_enc in the same order), their products taken by
 * warps, four at a time, in the order of warp_dot.cuh, as recompute.cu does, so that what fires, and its value, does not
 * depend on whether a row's list overflowed. Bytes: 4 d_in for each candidate, from L2 mostly (select.cu).
 * Launch: a block of 256 threads per row, 8 bytes of dynamic shared memory for each place of a list (4 to 32 KiB).
 * Deterministic. Not measured yet.
 */
#include "settle.h"

#include <algorithm>

#include "../device/reduce.cuh"
#include "epilogue.cuh"
#include "rounding.cuh"
#include "topk.cuh"
#include "warp_dot.cuh"

namespace sae::cuda {
namespace {

constexpr int64_t kTogether = 4; // candidates of a warp

__global__ void __launch_bounds__(kThreads)
    threshold_bars_kernel(const float *__restrict__ b_enc, const float *__restrict__ threshold, ShadowView shadow,
                          ThresholdBars bars) {
    static_assert(kLatentGroup == kThreads, "a thread per latent of a group");
    __shared__ float fixed[kThreads];
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kLatentGroup + threadIdx.x;
    float own = 0.0f;
    if (latent < shadow.d_sae) {
        const float bar = fmaxf(threshold[latent], 0.0f); // NaN: 0; it never fires
        bars.bias[latent] = b_enc[latent] - bar;
        const double rounding = 8.0 * kUnit * (fabs(static_cast<double>(b_enc[latent])) + static_cast<double>(bar));
        own = isinf(bar) ? 0.0f : static_cast<float>(rounding * kRoundedUp); // infinity: never listed
    }
    fixed[threadIdx.x] = own;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (static_cast<int>(threadIdx.x) < half) {
            fixed[threadIdx.x] = fmaxf(fixed[threadIdx.x], fixed[threadIdx.x + half]);
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        LatentBound bound = shadow.groups[blockIdx.x];
        bound.fixed = fmaxf(bound.fixed, fixed[0]);
        bars.groups[blockIdx.x] = bound;
    }
}

/* No intermediate result of a screened product can have overflowed float32. */
__device__ inline bool is_certain(const RowBound &row, const LatentBound &all) {
    constexpr float kLargest = 1e37f;
    return row.norm + row.slack < kLargest && row.norm * (all.length + all.error) + all.fixed < kLargest;
}

/* Candidates [first, first + kTogether) below size, whose latents are in entries, become list entries; 0 where they do not
 * fire. By a warp. */
template <int Width>
__device__ inline void settle_some(uint64_t *entries, int64_t size, int64_t first, const Settle &job,
                                   const float *input) {
    const float *const x[1] = {input};
    const float *w[kTogether];
    for (int64_t i = 0; i < kTogether; i++) {
        const int64_t at = first + i < size ? first + i : size - 1; // those beyond repeat the last
        w[i] = job.w_enc + static_cast<int64_t>(entries[at]) * job.d_in;
    }
    float products[1][kTogether];
    warp_dots<Width>(x, w, job.d_in, products);
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float mine = 0.0f; // lane i keeps that product
#pragma unroll
    for (int i = 0; i < kTogether; i++) {
        mine = lane == i ? products[0][i] : mine;
    }
    const int64_t at = first + lane;
    __syncwarp(); // every lane has read the entries
    if (lane < kTogether && at < size) {
        const auto latent = static_cast<int64_t>(entries[at]);
        const float value = job.firing(mine, latent);
        entries[at] = value > 0.0f ? list_entry(value, latent) : 0;
    }
}

__global__ void __launch_bounds__(kThreads) settle_kernel(Settle job) {
    SAE_DYNAMIC_SHARED(shared);
    auto *entries = reinterpret_cast<uint64_t *>(shared);
    const int64_t row = blockIdx.x;
    const int64_t size = job.count[row];
    __syncthreads(); // everyone has read it
    if (size > job.capacity || !is_certain(job.rows[row], *job.all)) {
        if (threadIdx.x == 0) {
            job.count[row] = kInOverflow;
            job.overflowed[atomicAdd(&job.counts->overflowed, 1)] = static_cast<int>(job.first_row + row);
        }
        return;
    }
    uint64_t *list = job.list + row * job.capacity;
    const int64_t padded = padded_size(size);
    for (int64_t i = threadIdx.x; i < padded; i += kThreads) {
        entries[i] = i < size ? 0xFFFFFFFFu - static_cast<uint32_t>(list[i]) : 0;
    }
    __syncthreads();
    sort_descending(entries, padded); // latents ascend
    for (int64_t i = threadIdx.x; i < size; i += kThreads) {
        entries[i] = 0xFFFFFFFFu - entries[i];
    }
    __syncthreads();
    const float *x = job.input + row * job.d_in;
    for (int64_t first = static_cast<int64_t>(threadIdx.x) / kWarp * kTogether; first < size;
         first += kWarps * kTogether) {
        if (job.d_in % 4 == 0) {
            settle_some<4>(entries, size, first, job, x);
        } else {
            settle_some<1>(entries, size, first, job, x);
        }
    }
    __syncthreads();
    int kept = 0;
    for (int64_t tile = 0; tile < size; tile += kThreads) {
        const int64_t i = tile + threadIdx.x;
        const uint64_t entry = i < size ? entries[i] : 0;
        int all = 0;
        const int before = block_scan<int>(entry != 0 ? 1 : 0, all);
        if (entry != 0) {
            list[kept + before] = entry;
        }
        kept += all;
    }
    if (threadIdx.x == 0) {
        job.kept[job.first_row + row] = kept;
    }
}

} // namespace

cudaError_t launch_threshold_bars(const float *b_enc, const float *threshold, const ShadowView &shadow,
                                  const ThresholdBars &bars, cudaStream_t stream) {
    return launch(threshold_bars_kernel, divide_up(shadow.d_sae, kLatentGroup), stream, b_enc, threshold, shadow, bars);
}

cudaError_t launch_settle(const Settle &settle, int64_t rows, cudaStream_t stream) {
    const int bytes = static_cast<int>(settle.capacity * static_cast<int64_t>(sizeof(uint64_t)));
    const cudaError_t error = cudaFuncSetAttribute(settle_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    return error != cudaSuccess ? error : launch({rows, kThreads, bytes, 1}, settle_kernel, stream, settle);
}

} // namespace sae::cuda
