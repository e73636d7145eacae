/* row_sums.cuh: a block's weighted sum of gathered rows, the inner loop of lists.cu and row_update.cu. */
#ifndef SAE_CUDA_ROW_SUMS_CUH
#define SAE_CUDA_ROW_SUMS_CUH

#include "vectors.cuh"

namespace sae::cuda {

/* sum[chunk] += weights[p] * row rows[p] of source over positions [begin, end), Unroll rows in flight;
 * bias += weights[p]. A thread has columns (thread + chunk kThreads) Width. */
template <typename Element, int Width, int Chunks, int Unroll>
__device__ inline void add_rows(const uint32_t *rows, const float *weights, int64_t begin, int64_t end,
                                const Gathered &source, int64_t d_in, int64_t first_column, float (&sum)[Chunks][Width],
                                float &bias) {
    for (int64_t first = begin; first < end; first += Unroll) {
        float held[Unroll][Chunks][Width];
        float weight[Unroll];
#pragma unroll
        for (int i = 0; i < Unroll; i++) {
            const bool inside = first + i < end;
            weight[i] = inside ? weights[first + i] : 0.0f;
            const Element *row = gathered_row<Element>(source, inside ? rows[first + i] : 0);
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
                const int64_t column = first_column + chunk * kThreads * Width;
                if (inside && column < d_in) {
                    load(row + column, held[i][chunk]);
                } else {
#pragma unroll
                    for (int at = 0; at < Width; at++) {
                        held[i][chunk][at] = 0.0f;
                    }
                }
            }
        }
#pragma unroll
        for (int i = 0; i < Unroll; i++) {
            bias += weight[i];
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    sum[chunk][at] = fmaf(weight[i], held[i][chunk][at], sum[chunk][at]);
                }
            }
        }
    }
}

} // namespace sae::cuda
#endif
