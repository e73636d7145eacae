/* aux_dense.cu: launches the products over the dead latents; definitions are in aux_dense.cuh. */
#include "aux_dense.cuh"

#include <algorithm>

namespace sae::cuda {

cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, float *z, cudaStream_t stream) {
    return launch(scatter_kernel<float>, rows, stream, part, indices, values, k, rank, z);
}

cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, uint16_t *z, cudaStream_t stream) {
    return launch(scatter_kernel<uint16_t>, rows, stream, part, indices, values, k, rank, z);
}

cudaError_t launch_reconstruct_dead(const DensePart &part, const float *z, const float *w_dec, int64_t rows,
                                    int64_t d_in, float *out, cudaStream_t stream) {
    const int64_t tiles = divide_up(rows, kDenseTile) * divide_up(d_in, kDenseTile);
    return launch(reconstruct_kernel, std::min(tiles, kDenseBlocks), stream, part, z, w_dec, rows, d_in, out);
}

cudaError_t launch_dense_gradients(const DensePart &part, const float *z, const float *dz, const float *aux_gradient,
                                   const float *input, int64_t rows, int64_t d_in, float *by_z, float *by_dz,
                                   float *bias, cudaStream_t stream) {
    const cudaError_t error =
        launch(dense_gradient_kernel, kDenseBlocks, stream, part, z, dz, aux_gradient, input, rows, d_in, by_z, by_dz);
    return error != cudaSuccess
               ? error
               : launch(dense_bias_kernel, divide_up(part.most, kThreads), stream, part, z, dz, rows, bias);
}

} // namespace sae::cuda
