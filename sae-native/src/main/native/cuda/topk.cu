/* topk.cu: launches the row-wise top-k; contract and cost are in topk.cuh. */
#include "topk.cuh"

namespace sae::cuda {
namespace {

int64_t padded_size(int64_t k) {
    int64_t size = 1;
    while (size < k) {
        size *= 2;
    }
    return size;
}

} // namespace

int64_t topk_scratch(int64_t rows, int64_t k) { return padded_size(k) <= kSharedKeys ? 0 : rows * padded_size(k); }

cudaError_t launch_topk(const float *scores, int64_t rows, int64_t columns, const int *n_active, const int *names,
                        int64_t k, uint64_t *keys, int *indices, float *values, cudaStream_t stream) {
    return launch(topk_kernel, rows, stream, scores, columns, n_active, names, k, padded_size(k), keys, indices,
                  values);
}

} // namespace sae::cuda
