/*
 * aux_bf16.h: the same as aux_dense.h with bf16 operands; definitions and cost are in aux_bf16.cu. `most` is a multiple
 * of kLatentGroup. Transposed operands are zero-padded.
 */
#ifndef SAE_CUDA_AUX_BF16_H
#define SAE_CUDA_AUX_BF16_H

#include "aux_dense.h"

namespace sae::cuda {

struct DeadBf16 {
    int64_t rows, padded_rows; // B; B': the next multiple of kDepthStep
    int64_t d_in, d_sae;
    const int *n_dead;
    Gathered decoder;              // bf16 [d_sae, depth]
    const uint16_t *input;         // [B, depth]
    uint16_t *z;                   // [B, most]
    float *dz;                     // [B, most]
    uint16_t *z_transposed;        // [most, B']
    uint16_t *dz_transposed;       // [most, B']
    uint16_t *decoder_transposed;  // [d, most]
    uint16_t *gradient;            // [B, depth]: of the auxiliary loss
    uint16_t *gradient_transposed; // [d, B']
    uint16_t *input_transposed;    // [d, B']
};
cudaError_t launch_reconstruct_dead(const Context &context, const DeadBf16 &dead, const DensePart &part, float *out);
cudaError_t launch_transpose_batch(const DeadBf16 &dead, const float *aux_gradient, cudaStream_t stream);
cudaError_t launch_dense_gradients(const Context &context, const DeadBf16 &dead, const DensePart &part, float *by_z,
                                   float *by_dz, float *bias);

} // namespace sae::cuda
#endif
