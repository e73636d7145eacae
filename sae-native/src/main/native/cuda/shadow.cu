/* shadow.cu: launches that build W_enc's bf16 copy; contract and cost are in shadow.cuh. */
#include "shadow.cuh"

namespace sae::cuda {

cudaError_t launch_group_bounds(const ShadowView &shadow, cudaStream_t stream) {
    const int64_t groups = divide_up(shadow.d_sae, kLatentGroup);
    const cudaError_t error =
        launch(group_bounds_kernel, groups, stream, static_cast<const LatentBound *>(shadow.latents), shadow.d_sae,
               kLatentGroup, shadow.groups);
    return error != cudaSuccess
               ? error
               : launch(group_bounds_kernel, 1, stream, static_cast<const LatentBound *>(shadow.groups), groups, groups,
                        shadow.groups + groups);
}

cudaError_t launch_round_matrix(const float *matrix, int64_t rows, int64_t columns, uint16_t *rounded, int64_t depth,
                                cudaStream_t stream) {
    return launch(round_matrix_kernel, divide_up(rows, kWarps), stream, matrix, rows, columns, rounded, depth);
}

cudaError_t launch_round_latents(const float *w_enc, const float *b_enc, int64_t d_in, const ShadowView &shadow,
                                 cudaStream_t stream) {
    const cudaError_t error =
        launch(round_latents_kernel, divide_up(shadow.d_sae, kWarps), stream, w_enc, b_enc, d_in, shadow);
    return error != cudaSuccess ? error : launch_group_bounds(shadow, stream);
}

} // namespace sae::cuda
