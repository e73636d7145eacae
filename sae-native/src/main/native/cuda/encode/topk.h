/* topk.h: the launch of the row-wise top-k; contract and cost are in topk.cuh, and in select.cu for k <= kMostListed. */
#ifndef SAE_CUDA_TOPK_H
#define SAE_CUDA_TOPK_H

#include "../device/device.h"

namespace sae::cuda {

constexpr int64_t kSharedKeys = 1024; // top-k up to this k sorts in shared memory

/* keys is scratch of topk_scratch(rows, k) elements; n_active and names may be null */
int64_t topk_scratch(int64_t rows, int64_t k);
cudaError_t launch_topk(const float *scores, int64_t rows, int64_t columns, const int *n_active, const int *names,
                        int64_t k, uint64_t *keys, int *indices, float *values, cudaStream_t stream);

} // namespace sae::cuda
#endif
