/* aux_dense.h: launches of the products over the dead latents in float32; definitions and cost are in aux_dense.cu. */
#ifndef SAE_CUDA_AUX_DENSE_H
#define SAE_CUDA_AUX_DENSE_H

#include "../device/device.h"

namespace sae::cuda {

struct DensePart {
    int64_t first;      // rank of the first dead latent of the part
    int64_t most;       // most latents a part can have: the row length of z and dz
    const int *count;   // number of latents in the part
    const int *latents; // their indices
};
cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, float *z, cudaStream_t stream);
cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, uint16_t *z, cudaStream_t stream);
cudaError_t launch_reconstruct_dead(const DensePart &part, const float *z, const float *w_dec, int64_t rows,
                                    int64_t d_in, float *out, cudaStream_t stream);
cudaError_t launch_dense_gradients(const DensePart &part, const float *z, const float *dz, const float *aux_gradient,
                                   const float *input, int64_t rows, int64_t d_in, float *by_z, float *by_dz,
                                   float *bias, cudaStream_t stream);

} // namespace sae::cuda
#endif
