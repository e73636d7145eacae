/*
 * keep_of_groups.cu: SAE_GROUP_MAX as a choice of the k largest among other scores.
 *
 *   z[c] stays where c is the first largest of its group of d_sae / k columns; others become 0. The k largest of what is left
 *   are the groups' maxima, sorted, and missing ones are filled up as for any row (topk.cuh)
 *
 * scores float32 [rows, columns]. Bytes: 8 for each score. Launch: 256 threads a block, a warp per group. Deterministic.
 * Neither list nor screen: the rule is rare, and its product is the cost. Not measured yet.
 */
#include "keep_of_groups.h"

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

} // namespace

cudaError_t launch_keep_of_groups(float *scores, int64_t rows, int64_t columns, int64_t size, cudaStream_t stream) {
    const int64_t groups = rows * (columns / size);
    return launch(keep_of_groups_kernel, divide_up(groups, kWarps), stream, scores, groups, size);
}

} // namespace sae::cuda
