/* keep_of_groups.h: what SAE_GROUP_MAX does before the k largest are chosen; definition and cost are in keep_of_groups.cu. */
#ifndef SAE_CUDA_KEEP_OF_GROUPS_H
#define SAE_CUDA_KEEP_OF_GROUPS_H

#include "../device/device.h"

namespace sae::cuda {

/* Leaves the largest of each group of `size` consecutive columns, if it is positive, and makes the others 0; in place. */
cudaError_t launch_keep_of_groups(float *scores, int64_t rows, int64_t columns, int64_t size, cudaStream_t stream);

} // namespace sae::cuda
#endif
