/* csc.h: the launch that lists kept values by latent; definitions are in csc.cu. */
#ifndef SAE_CUDA_CSC_H
#define SAE_CUDA_CSC_H

#include "../device/device.h"

namespace sae::cuda {

struct CscScratch {
    uint32_t *keys_in;    // [entries]
    uint32_t *entries_in; // [entries]
    void *sort;           // sort_bytes, from csc_scratch
    int64_t sort_bytes;
};
cudaError_t csc_scratch(int64_t entries, int64_t d_sae, int64_t *bytes);
cudaError_t launch_csc(const int *indices, const float *values, int64_t entries, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, uint32_t *sorted, int64_t *offsets,
                       cudaStream_t stream);

} // namespace sae::cuda
#endif
