/*
 * ragged_error.cu: the errors of ragged rows, of every prefix of the latents.
 *
 *   e_g[b] = sum over row b's entries with latent < latents_g of value W_dec[latent] + b_dec - x[b]
 *
 * in:  entries (ragged_batch.h) with values float32 [entries], W_dec float32 [d_sae, d_in], b_dec float32 [d_in], x float32
 *      [rows, d_in]
 * out: e float32 [prefixes, rows, d_in]
 * Bytes: 4 d_in an entry whose value is not 0, gathered (L2); 4 rows d_in read and 4 prefixes rows d_in written. 2 d_in FLOP
 * an entry: prefixes share their sums. At 4,096 rows, 64 entries a row and d_in 4096: 4.3 GB from L2, about 1 ms.
 * Launch: a block of 256 threads per row, a thread per column in turn. Deterministic: each element is one chain of fused
 * multiply-adds in the order of entries. Not yet run on a GPU.
 */
#include "ragged_error.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    ragged_error_kernel(RaggedBatch batch, const float *__restrict__ values, Prefixes prefixes,
                        const float *__restrict__ w_dec, const float *__restrict__ b_dec, const float *__restrict__ x,
                        int64_t d_in, float *__restrict__ errors) {
    const int64_t row = blockIdx.x;
    const int64_t end = batch.starts[row + 1];
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float base = b_dec[i] - x[row * d_in + i];
        float sum = 0.0f;
        int prefix = 0;
        for (int64_t at = batch.starts[row]; at < end; at++) {
            const int64_t latent = batch.indices[at];
            for (; latent >= prefixes.latents[prefix]; prefix++) {
                errors[(prefix * batch.rows + row) * d_in + i] = sum + base;
            }
            const float value = values[at];
            if (value != 0.0f) {
                sum = fmaf(value, w_dec[latent * d_in + i], sum);
            }
        }
        for (; prefix < prefixes.count; prefix++) {
            errors[(prefix * batch.rows + row) * d_in + i] = sum + base;
        }
    }
}

} // namespace

cudaError_t launch_ragged_error(const RaggedBatch &batch, const float *values, const Prefixes &prefixes,
                                const float *w_dec, const float *b_dec, const float *x, int64_t d_in, float *errors,
                                cudaStream_t stream) {
    return launch(ragged_error_kernel, batch.rows, stream, batch, values, prefixes, w_dec, b_dec, x, d_in, errors);
}

} // namespace sae::cuda
