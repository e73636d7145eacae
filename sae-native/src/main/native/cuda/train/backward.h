/* backward.h: launches of the gradients of the weights, for the plain step; definitions and cost are in backward.cu. */
#ifndef SAE_CUDA_BACKWARD_H
#define SAE_CUDA_BACKWARD_H

#include "../device/device.h"

namespace sae::cuda {

/* The kept values of a batch by latent, with their gradients. */
struct SparseList {
    int64_t k = 0;                    // entry e belongs to row e / k
    const uint32_t *order = nullptr;  // [B k]
    const int64_t *offsets = nullptr; // [m + 1]; null: an empty list
    const float *values = nullptr;    // [B, k]
    const float *dz = nullptr;        // [B, k]
    const float *gradient = nullptr;  // [B, d]
};

cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_in, float *dz, cudaStream_t stream);
cudaError_t launch_weight_gradient(const SparseList &kept, const SparseList &aux, const float *input, int64_t d_in,
                                   int64_t d_sae, bool add, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream);
cudaError_t launch_decoder_bias_gradient(const float *outputs, const double *through_encoder, int64_t d_in,
                                         float *db_dec, cudaStream_t stream);

} // namespace sae::cuda
#endif
