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
    const float *gradient = nullptr;  // [B, d_out]
};

struct WeightGradient {
    SparseList kept, aux;
    SparseList second;  // of a second loss (multi_topk.cu), whose dz is not used: only the decoder has a gradient of it
    const float *input; // [B, d_in]
    int64_t d_in, d_out, d_sae;
    bool add;
};

cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_out, float *dz, cudaStream_t stream);
cudaError_t launch_weight_gradient(const WeightGradient &of, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream);
cudaError_t launch_decoder_bias_gradient(const float *outputs, const double *through_encoder, int64_t d_out,
                                         float *db_dec, cudaStream_t stream);

} // namespace sae::cuda
#endif
