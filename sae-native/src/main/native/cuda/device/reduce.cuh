/*
 * reduce.cuh: sums over a warp and over a block, in a fixed order.
 *
 * The result depends only on the values, never on the schedule; every thread gets it. Every thread of the warp or block
 * must call.
 */
#ifndef SAE_CUDA_REDUCE_CUH
#define SAE_CUDA_REDUCE_CUH

#include "device.h"

namespace sae::cuda {

constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;

/* A tree in shared memory, in double. */
__device__ inline double block_sum(double value) {
    __shared__ double partial[kThreads];
    const int thread = static_cast<int>(threadIdx.x);
    partial[thread] = value;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (thread < half) {
            partial[thread] += partial[thread + half];
        }
        __syncthreads();
    }
    const double sum = partial[0];
    __syncthreads(); // the next call overwrites partial
    return sum;
}

/* sum of values[i], the same in every thread */
__device__ inline double sum_of(const double *values, int64_t count) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) {
        sum += values[i];
    }
    return block_sum(sum);
}

/* Every lane gets the same bits: both lanes of a pair add the same two numbers. */
template <typename T>
__device__ inline T warp_sum(T value) {
    for (int half = kWarp / 2; half > 0; half /= 2) {
        value += __shfl_xor_sync(0xFFFFFFFFu, value, half);
    }
    return value;
}

/* N sums at a time: shuffles within warps, two barriers. */
template <int N>
__device__ inline void block_sums(double (&values)[N]) {
    __shared__ double of_warp[kWarps][N];
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = 0; i < N; i++) {
        const double sum = warp_sum(values[i]);
        if (thread % kWarp == 0) {
            of_warp[thread / kWarp][i] = sum;
        }
    }
    __syncthreads();
    for (int i = 0; i < N; i++) {
        values[i] = 0.0;
        for (int warp = 0; warp < kWarps; warp++) {
            values[i] += of_warp[warp][i];
        }
    }
    __syncthreads(); // the next call overwrites of_warp
}

/* The sum of `value` over the threads before this one; `total`: over all. */
template <typename T>
__device__ inline T block_scan(T value, T &total) {
    __shared__ T of_warp[kWarps];
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    T through = value;
    for (int by = 1; by < kWarp; by *= 2) {
        const T other = __shfl_up_sync(0xFFFFFFFFu, through, static_cast<unsigned>(by));
        through += lane >= by ? other : 0;
    }
    if (lane == kWarp - 1) {
        of_warp[warp] = through;
    }
    __syncthreads();
    T before = 0;
    total = 0;
    for (int i = 0; i < kWarps; i++) {
        before += i < warp ? of_warp[i] : 0;
        total += of_warp[i];
    }
    __syncthreads(); // the next call overwrites of_warp
    return before + through - value;
}

/* N dot products of a warp, N a power of two <= 32: afterwards lane l has the sum of values[l / (32 / N)] over all lanes.
 * Halving the list along with the lanes takes N + 4 - log2 N shuffles; N separate sums would take 5 N. */
template <int N>
__device__ inline float warp_transposed_sums(const float (&values)[N], int half = kWarp / 2) {
    if constexpr (N == 1) {
        float sum = values[0];
        for (; half > 0; half /= 2) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, half);
        }
        return sum;
    } else {
        const bool upper = (threadIdx.x & static_cast<unsigned>(half)) != 0;
        float halved[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            const float kept = upper ? values[i + N / 2] : values[i];
            const float given = upper ? values[i] : values[i + N / 2];
            halved[i] = kept + __shfl_xor_sync(0xFFFFFFFFu, given, half);
        }
        return warp_transposed_sums(halved, half / 2);
    }
}

} // namespace sae::cuda
#endif
