/*
 * ragged_error.cu: the errors of ragged rows, of every prefix of the latents.
 *
 *   e_g[b] = sum over row b's entries with latent < latents_g of value W_dec[latent] + b_dec - y[b]        (with a skip: + x[b] W_skip^T, train/skip.cu)
 *
 * in:  entries (ragged_batch.h) with values float32 [entries], W_dec float32 [d_sae, d_out], b_dec float32 [d_out], target y
 *      float32 [rows, d_out]
 * out: e float32 [prefixes, rows, d_out]
 * Bytes: 4 d_out an entry whose value is not 0, gathered (L2); 4 rows d_out read and 4 prefixes rows d_out written. 2 d_out FLOP
 * an entry: prefixes share their sums. At 4,096 rows, 64 entries a row and d_out 4096: 4.3 GB from L2, about 1 ms.
 * Launch: a block of 256 threads per row, a thread per column in turn. Deterministic: each element is one chain of fused
 * multiply-adds in the order of entries. Not yet run on a GPU.
 */
#include "ragged_error.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    ragged_error_kernel(RaggedBatch batch, const float *__restrict__ values, Prefixes prefixes,
                        const float *__restrict__ w_dec, const float *__restrict__ b_dec, const float *__restrict__ y,
                        int64_t d_out, bool add, float *errors) {
    const int64_t row = blockIdx.x;
    const int64_t end = batch.starts[row + 1];
    for (int64_t i = threadIdx.x; i < d_out; i += kThreads) {
        const int64_t own = row * d_out + i; // the first plane's, read before the same thread writes it
        const float base = b_dec[i] - y[own] + (add ? errors[own] : 0.0f);
        float sum = 0.0f;
        int prefix = 0;
        for (int64_t at = batch.starts[row]; at < end; at++) {
            const int64_t latent = batch.indices[at];
            for (; latent >= prefixes.latents[prefix]; prefix++) {
                errors[(prefix * batch.rows + row) * d_out + i] = sum + base;
            }
            const float value = values[at];
            if (value != 0.0f) {
                sum = fmaf(value, w_dec[latent * d_out + i], sum);
            }
        }
        for (; prefix < prefixes.count; prefix++) {
            errors[(prefix * batch.rows + row) * d_out + i] = sum + base;
        }
    }
}

} // namespace

cudaError_t launch_ragged_error(const RaggedBatch &batch, const float *values, const Prefixes &prefixes,
                                const float *w_dec, const float *b_dec, const float *y, int64_t d_out, bool add,
                                float *errors, cudaStream_t stream) {
    return launch(ragged_error_kernel, batch.rows, stream, batch, values, prefixes, w_dec, b_dec, y, d_out, add,
                  errors);
}

} // namespace sae::cuda
