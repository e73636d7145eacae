/* row_sums.cuh: a block's weighted sum of gathered rows, the inner loop of lists.cu and row_update.cu. */
#ifndef SAE_CUDA_ROW_SUMS_CUH
#define SAE_CUDA_ROW_SUMS_CUH

#include "reduce.cuh"
#include "vectors.cuh"

namespace sae::cuda {

/* sum[chunk] += weights[p] * row rows[p] of source over positions [begin, end), Unroll rows in flight, as they are
 * stored; bias += weights[p]. A thread has columns (thread + chunk kThreads) Width. A warp looks up 32 rows and weights
 * at a time, a lane each. Every thread of a block must call, with the same range. */
template <typename Element, int Width, int Chunks, int Unroll>
__device__ inline void add_rows(const uint32_t *rows, const float *weights, int64_t begin, int64_t end,
                                const Gathered &source, int64_t d_in, int64_t first_column, float (&sum)[Chunks][Width],
                                float &bias) {
    static_assert(kWarp % Unroll == 0, "the rows in flight are of one lookup");
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int64_t base = begin; base < end; base += kWarp) {
        const uint32_t row = base + lane < end ? rows[base + lane] : 0;
        const float weight = base + lane < end ? weights[base + lane] : 0.0f;
        const int count = end - base < kWarp ? static_cast<int>(end - base) : kWarp;
        for (int first = 0; first < count; first += Unroll) {
            Packed<Element, Width> held[Unroll][Chunks];
#pragma unroll
            for (int i = 0; i < Unroll; i++) {
                const Element *from = gathered_row<Element>(source, __shfl_sync(0xFFFFFFFFu, row, first + i));
#pragma unroll
                for (int chunk = 0; chunk < Chunks; chunk++) {
                    const int64_t column = first_column + chunk * kThreads * Width;
                    if (first + i < count && column < d_in) {
                        held[i][chunk].load(from + column);
                    }
                }
            }
#pragma unroll
            for (int i = 0; i < Unroll; i++) {
                const float factor = __shfl_sync(0xFFFFFFFFu, weight, first + i); // 0 beyond the end
                bias += factor;
#pragma unroll
                for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                    for (int at = 0; at < Width; at++) {
                        sum[chunk][at] = fmaf(factor, held[i][chunk].at(at), sum[chunk][at]);
                    }
                }
            }
        }
    }
}

} // namespace sae::cuda
#endif
