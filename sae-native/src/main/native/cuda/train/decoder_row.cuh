/*
 * decoder_row.cuh: what an update does to a row of W_dec besides the optimiser's step: its norm, and the projection of
 * its gradient (formulas in adam.cu). For whole blocks, in double; each thread reads and writes only its own columns of
 * the row.
 */
#ifndef SAE_CUDA_DECODER_ROW_CUH
#define SAE_CUDA_DECODER_ROW_CUH

#include "../device/reduce.cuh"
#include "step_state.h"

namespace sae::cuda {

/* 1 / |row|; 1 for a row of zeros. */
__device__ inline double inverse_norm(const float *row, int64_t d) {
    double squares = 0.0;
    for (int64_t i = threadIdx.x; i < d; i += kThreads) {
        squares += static_cast<double>(row[i]) * row[i];
    }
    squares = block_sum(squares);
    return squares > 0.0 ? 1.0 / sqrt(squares) : 1.0;
}

__device__ inline void scale_row(float *row, int64_t d, double factor) {
    for (int64_t i = threadIdx.x; i < d; i += kThreads) {
        row[i] = static_cast<float>(row[i] * factor);
    }
}

/* Before the step: scales the row if that comes first. Returns <g, w> / |w|^2 of the clipped gradient, by which the
 * projection subtracts w; 0 without one. */
__device__ inline double begin_row(const float *gradient, double clip, const AdamOptions &options, int64_t d,
                                   float *row) {
    if (options.decoder_norm == SAE_DECODER_NORM_BEFORE_STEP) {
        scale_row(row, d, inverse_norm(row, d));
    }
    if (!options.project_gradient) {
        return 0.0;
    }
    const double inverse = inverse_norm(row, d);
    double along = 0.0;
    for (int64_t i = threadIdx.x; i < d; i += kThreads) {
        along += clip * gradient[i] * row[i];
    }
    return block_sum(along) * inverse * inverse;
}

/* After the step: scales the row if that comes then. */
__device__ inline void end_row(const AdamOptions &options, int64_t d, float *row) {
    if (options.decoder_norm == SAE_DECODER_NORM_AFTER_STEP) {
        scale_row(row, d, inverse_norm(row, d));
    }
}

} // namespace sae::cuda
#endif
