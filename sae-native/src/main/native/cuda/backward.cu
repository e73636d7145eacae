/* backward.cu: launches the gradients of the weights; definitions are in backward.cuh. */
#include "backward.cuh"

namespace sae::cuda {

cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_in, float *dz, cudaStream_t stream) {
    return launch(latent_gradient_kernel, rows, stream, indices, values, k, w_dec, gradient, d_in, dz);
}

cudaError_t launch_weight_gradient(const SparseList &kept, const SparseList &aux, const float *input, int64_t d_in,
                                   int64_t d_sae, bool add, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream) {
    return launch(weight_gradient_kernel, d_sae, stream, kept, aux, input, d_in, add, dw_enc, dw_dec, db_enc);
}

template <typename Output>
cudaError_t launch_decoder_bias_gradient(const Output *outputs, const double *through_encoder, int64_t d_in,
                                         float *db_dec, cudaStream_t stream) {
    return launch(decoder_bias_gradient_kernel<Output>, divide_up(d_in, kThreads), stream, outputs, through_encoder,
                  d_in, db_dec);
}
template cudaError_t launch_decoder_bias_gradient(const double *, const double *, int64_t, float *, cudaStream_t);
template cudaError_t launch_decoder_bias_gradient(const float *, const double *, int64_t, float *, cudaStream_t);

} // namespace sae::cuda
