/*
 * encode_topk.cuh: what happens to rows before the encoder's matrix product: the finite check and x - b_dec.
 *
 * in:  x float32 [rows, d_in]; b_dec float32 [d_in], null: nothing is subtracted
 * out: centred float32 [rows, d_in] (null together with b_dec); bad_row int32 [1]: lowered to the first row that holds
 *      NaN or infinity (the caller set it to kNoBadRow)
 * Bytes: 4 rows d_in read, as many written. Launch: one block of 256 threads a row.
 * Deterministic: element-wise, and a minimum of integers. Not yet run on a GPU.
 */
#ifndef SAE_CUDA_ENCODE_TOPK_CUH
#define SAE_CUDA_ENCODE_TOPK_CUH

#include "device.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    prepare_rows_kernel(const float *__restrict__ x, const float *__restrict__ b_dec, int64_t d_in,
                        float *__restrict__ centred, int *__restrict__ bad_row) {
    const int64_t row = blockIdx.x;
    bool finite = true;
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float value = x[row * d_in + i];
        finite = finite && isfinite(value);
        if (centred != nullptr) {
            centred[row * d_in + i] = value - b_dec[i];
        }
    }
    if (!finite) {
        atomicMin(bad_row, static_cast<int>(row));
    }
}

} // namespace
} // namespace sae::cuda
#endif
