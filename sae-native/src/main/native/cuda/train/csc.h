/* csc.h: the launches that list kept values by latent; definitions and cost are in csc.cu. */
#ifndef SAE_CUDA_CSC_H
#define SAE_CUDA_CSC_H

#include "../device/device.h"

namespace sae::cuda {

struct CscScratch {
    uint32_t *ranks;     // [entries]
    uint32_t *unordered; // [entries]
    uint32_t *counts;    // [csc_counters(d_sae)], 0 before a launch and after it
};
int64_t csc_counters(int64_t d_sae);
/* A row names a latent at most once. sorted: as far as there are values that are not 0. */
cudaError_t launch_csc(const int *indices, const float *values, int64_t rows, int64_t k, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, uint32_t *sorted, int64_t *offsets,
                       cudaStream_t stream);
/* Ragged rows: every one of `entries`, positive or not; entry e belongs to row rows_of[e], and rows ascend. */
cudaError_t launch_ragged_csc(const int *indices, const uint32_t *rows_of, int64_t entries, int64_t rows, int64_t d_sae,
                              const CscScratch &scratch, uint32_t *order, int64_t *offsets, cudaStream_t stream);

} // namespace sae::cuda
#endif
