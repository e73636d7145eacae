/* matmul_nt.h: the launch of the dense product; formula, shapes and cost are in matmul_nt.cu. */
#ifndef SAE_CUDA_MATMUL_NT_H
#define SAE_CUDA_MATMUL_NT_H

#include "device.h"

namespace sae::cuda {

/* c [m, n] = a [m, inner] b^T; b_rows, n_active and bias may be null */
cudaError_t launch_matmul_nt(const float *a, int64_t m, const float *b, int64_t n, int64_t inner, const int *b_rows,
                             const int *n_active, const float *bias, float *c, cudaStream_t stream);

} // namespace sae::cuda
#endif
