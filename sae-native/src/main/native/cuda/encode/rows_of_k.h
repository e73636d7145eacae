/* rows_of_k.h: what the other rules with k latents a row do before and after the k largest are chosen; rows_of_k.cu. */
#ifndef SAE_CUDA_ROWS_OF_K_H
#define SAE_CUDA_ROWS_OF_K_H

#include "../device/device.h"

namespace sae::cuda {

/* Leaves the largest of each group of `size` consecutive columns, if it is positive, and makes the others 0; in place. */
cudaError_t launch_keep_of_groups(float *scores, int64_t rows, int64_t columns, int64_t size, cudaStream_t stream);
/* sizes = |scores| */
cudaError_t launch_sizes(const float *scores, int64_t count, float *sizes, cudaStream_t stream);
/* values[row, slot] = scores[row, indices[row, slot]] */
cudaError_t launch_signed_values(const float *scores, int64_t rows, int64_t columns, int64_t k, const int *indices,
                                 float *values, cudaStream_t stream);

} // namespace sae::cuda
#endif
