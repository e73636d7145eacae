/*
 * multi_topk.cu: the second loss of SAE_OPT_MULTI_TOPK, of what the K' = min(4 K, d_sae) largest latents decode to:
 *
 *   L += w main sum e'^2,  e' = sum of the K' largest z_j W_dec[j] + b_dec - y       (main: losses.cu)
 *   dW_dec[j] += sum over the rows that chose it of z_j 2 w main e';  db_dec += sum 2 w main e'
 *
 * One encode chooses both: the K largest are the first of the K' largest, which rows are sorted for. The kernel here copies
 * them to rows of their own, where all other kernels expect them; the rest of the second loss is the plain step's kernels
 * (step_plain.cu) on K' latents a row: 11 launches more than a step without it.
 *
 * in:  indices int32, values float32 [rows, K']. out: the same [rows, K]
 * Bytes: 16 rows K. Of the whole second loss: 4 rows K' d_out gathered from L2 for e', as many for dW_dec, 28 rows d_out of
 * memory; no bytes of dW_dec, which one kernel writes for both losses. FLOP 4 rows K' d_out.
 * Launch: a thread per entry. Deterministic. Not yet run on a GPU.
 */
#include "multi_topk.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    first_of_rows_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t count, int64_t of,
                         int64_t k, int *__restrict__ first_indices, float *__restrict__ first_values) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (at < count) {
        const int64_t from = at / k * of + at % k;
        first_indices[at] = indices[from];
        first_values[at] = values[from];
    }
}

} // namespace

cudaError_t launch_first_of_rows(const int *indices, const float *values, int64_t rows, int64_t of, int64_t k,
                                 int *first_indices, float *first_values, cudaStream_t stream) {
    const int64_t count = rows * k;
    return launch(first_of_rows_kernel, divide_up(count, kThreads), stream, indices, values, count, of, k,
                  first_indices, first_values);
}

} // namespace sae::cuda
