/*
 * decode.cuh: sparse rows times the decoder.
 *
 *   decode:    x_hat[b] = sum_s values[b, s] W_dec[indices[b, s]] + b_dec
 *   error:     e[b]     = the same - x[b]
 *   residual:  r[b]     = sum_s values[b, s] W_dec[indices[b, s]] + e[b]       (the auxiliary loss's residual)
 *
 * in:  indices int32 [rows, k], values float32 [rows, k], W_dec float32 [d_sae, d_in], b_dec float32 [d_in],
 *      x or e float32 [rows, d_in]
 * out: float32 [rows, d_in]; decode also lowers bad_row int32 [1] to the first row with an index outside [0, d_sae)
 *      and leaves such terms out. A term of value 0 is not read in error and residual (its index may be -1).
 * Bytes: 4 rows k d_in gathered (L2), 8 rows d_in streamed; 2 rows k d_in FLOP.
 * Launch: one block of 256 threads a row, a thread per column in turn.
 * Deterministic: each element is one chain of fused multiply-adds in slot order. Not yet run on a GPU.
 */
#ifndef SAE_CUDA_DECODE_CUH
#define SAE_CUDA_DECODE_CUH

#include "device.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    decode_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                  const float *__restrict__ w_dec, const float *__restrict__ b_dec, int64_t d_in, int64_t d_sae,
                  float *__restrict__ x_hat, int *__restrict__ bad_row) {
    const int64_t row = blockIdx.x;
    for (int64_t slot = threadIdx.x; slot < k; slot += kThreads) {
        const int latent = indices[row * k + slot];
        if (latent < 0 || latent >= d_sae) {
            atomicMin(bad_row, static_cast<int>(row));
        }
    }
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        float sum = 0.0f;
        for (int64_t slot = 0; slot < k; slot++) {
            const int latent = indices[row * k + slot];
            if (latent >= 0 && latent < d_sae) {
                sum = fmaf(values[row * k + slot], w_dec[latent * d_in + i], sum);
            }
        }
        x_hat[row * d_in + i] = sum + b_dec[i];
    }
}

__device__ inline float sparse_dot(const int *indices, const float *values, int64_t k, const float *w_dec, int64_t d_in,
                                   int64_t i) {
    float sum = 0.0f;
    for (int64_t slot = 0; slot < k && values[slot] > 0.0f; slot++) { // values descend: the rest is 0
        sum = fmaf(values[slot], w_dec[indices[slot] * d_in + i], sum);
    }
    return sum;
}

__global__ void __launch_bounds__(kThreads)
    error_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                 const float *__restrict__ w_dec, const float *__restrict__ b_dec, const float *__restrict__ x,
                 int64_t d_in, float *__restrict__ error) {
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float sum = sparse_dot(indices + row * k, values + row * k, k, w_dec, d_in, i);
        error[row * d_in + i] = sum + (b_dec[i] - x[row * d_in + i]);
    }
}

__global__ void __launch_bounds__(kThreads)
    residual_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                    const float *__restrict__ w_dec, const float *__restrict__ error, int64_t d_in,
                    float *__restrict__ residual) {
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float sum = sparse_dot(indices + row * k, values + row * k, k, w_dec, d_in, i);
        residual[row * d_in + i] = sum + error[row * d_in + i];
    }
}

} // namespace
} // namespace sae::cuda
#endif
