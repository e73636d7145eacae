/*
 * rows_of_k.cu: SAE_GROUP_MAX and SAE_ABS_TOPK as a choice of the k largest among other scores.
 *
 *   group max    z[c] stays where c is the first largest of its group of d_sae / k columns; others become 0. The k largest
 *                of what is left are the groups' maxima, sorted, and missing ones are filled up as for any row (topk.cuh)
 *   abs          |z| is what is chosen from; the signs come back afterwards
 *
 * scores float32 [rows, columns]. Bytes: 8 for each score in either case. Launch: 256 threads a block; a warp per group,
 * or a thread per element. Deterministic. Neither list nor screen: both rules are rare, and their product is the cost.
 * Not measured yet.
 */
#include "rows_of_k.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__device__ inline uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

__global__ void __launch_bounds__(kThreads) keep_of_groups_kernel(float *scores, int64_t groups, int64_t size) {
    const int64_t group = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (group >= groups) {
        return; // the same for the whole warp
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    float *of = scores + group * size;
    uint64_t best = 0; // (bits of the value) << 32 | ~column: the lower column wins among equals
    for (int64_t i = lane; i < size; i += kWarp) {
        if (of[i] > 0.0f) {
            best = larger(best, static_cast<uint64_t>(__float_as_uint(of[i])) << 32 |
                                    (0xFFFFFFFFu - static_cast<uint32_t>(i)));
        }
    }
    for (int by = kWarp / 2; by > 0; by /= 2) {
        best = larger(best, __shfl_xor_sync(0xFFFFFFFFu, best, by));
    }
    const int64_t kept = best == 0 ? -1 : static_cast<int64_t>(0xFFFFFFFFu - static_cast<uint32_t>(best));
    for (int64_t i = lane; i < size; i += kWarp) {
        if (i != kept) {
            of[i] = 0.0f;
        }
    }
}

__global__ void __launch_bounds__(kThreads)
    sizes_kernel(const float *__restrict__ scores, int64_t count, float *__restrict__ sizes) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < count) {
        sizes[i] = fabsf(scores[i]);
    }
}

__global__ void __launch_bounds__(kThreads)
    signed_values_kernel(const float *__restrict__ scores, int64_t rows, int64_t columns, int64_t k,
                         const int *__restrict__ indices, float *__restrict__ values) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < rows * k) {
        values[i] = scores[i / k * columns + indices[i]];
    }
}

} // namespace

cudaError_t launch_keep_of_groups(float *scores, int64_t rows, int64_t columns, int64_t size, cudaStream_t stream) {
    const int64_t groups = rows * (columns / size);
    return launch(keep_of_groups_kernel, divide_up(groups, kWarps), stream, scores, groups, size);
}

cudaError_t launch_sizes(const float *scores, int64_t count, float *sizes, cudaStream_t stream) {
    return launch(sizes_kernel, divide_up(count, kThreads), stream, scores, count, sizes);
}

cudaError_t launch_signed_values(const float *scores, int64_t rows, int64_t columns, int64_t k, const int *indices,
                                 float *values, cudaStream_t stream) {
    return launch(signed_values_kernel, divide_up(rows * k, kThreads), stream, scores, rows, columns, k, indices,
                  values);
}

} // namespace sae::cuda
