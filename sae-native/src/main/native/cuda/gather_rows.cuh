/*
 * gather_rows.cuh: gathers batches from a shuffled block of rows, on the device.
 *
 *   into[i] = factor from[rows[i]], the product in double; NaN where rows[i] is outside [0, from_rows)
 *
 * in:  from float32 [from_rows, columns], rows int32 [count]
 * out: float32 [count, columns]
 * Bytes: 8 count columns, all of them streamed: from is far larger than L2. Launch: one warp per row, 8 rows per block
 * of 256 threads, Width columns per lane in turn. Deterministic: element-wise. Not measured yet.
 */
#ifndef SAE_CUDA_GATHER_ROWS_CUH
#define SAE_CUDA_GATHER_ROWS_CUH

#include "kernels.h"
#include "reduce.cuh"
#include "vectors.cuh"

namespace sae::cuda {
namespace {

template <int Width>
__global__ void __launch_bounds__(kThreads)
    gather_rows_kernel(const float *__restrict__ from, int64_t from_rows, int64_t columns, const int *__restrict__ rows,
                       int64_t count, double factor, float *__restrict__ into) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= count) {
        return;
    }
    const int64_t number = rows[row];
    const bool there = number >= 0 && number < from_rows;
    for (int64_t column = lane * Width; column < columns; column += kWarp * Width) {
        float values[Width];
        if (there) {
            load_stream(from + number * columns + column, values);
        }
#pragma unroll
        for (int at = 0; at < Width; at++) {
            values[at] = there ? static_cast<float>(values[at] * factor) : nanf("");
        }
        store_stream(into + row * columns + column, values);
    }
}

} // namespace
} // namespace sae::cuda
#endif
