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
cudaError_t launch_reconstruct_dead(const Context &context, const DensePart &part, const float *z, const float *w_dec,
                                    int64_t rows, int64_t d_in, float *out);

struct LatentProduct { // out [rows, most] = a W^T + bias, of the latents of a list
    const float *a;    // [rows, d_in]
    int64_t rows;
    int64_t d_in;
    const float *w;     // [d_sae, d_in]
    const float *bias;  // [d_sae]; null: none
    const float *mask;  // [rows, most]: where it is not above 0, out is 0; null: none
    const int *latents; // [most]
    const int *count;   // on the device: how many of them count
    int64_t most;
    float *out;
};
cudaError_t launch_by_latent(const Context &context, const LatentProduct &product);
cudaError_t launch_dense_gradients(const Context &context, const DensePart &part, const float *z, const float *t,
                                   const float *aux_gradient, const float *input, int64_t rows, int64_t d_in,
                                   float *by_z, float *by_dz, float *bias);

} // namespace sae::cuda
#endif
