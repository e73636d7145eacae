/* decode.h: launches of the sparse products; definitions and cost are in decode.cu. */
#ifndef SAE_CUDA_DECODE_H
#define SAE_CUDA_DECODE_H

#include "../device/device.h"

namespace sae::cuda {

/* add: to what is in error */
cudaError_t launch_error(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                         const float *b_dec, const float *y, int64_t d_out, bool add, float *error,
                         cudaStream_t stream);
cudaError_t launch_residual(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                            const float *error, int64_t d_out, float *residual, cudaStream_t stream);

} // namespace sae::cuda
#endif
