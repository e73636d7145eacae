/* topk.cu: launches the row-wise top-k; contract and cost are in topk.cuh, and in select.cu for k <= kMostListed. */
#include "topk.h"

#include "select.h"
#include "topk.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    topk_kernel(const float *__restrict__ scores, int64_t columns, const int *__restrict__ n_active,
                const int *__restrict__ names, int64_t k, uint64_t *scratch, int *__restrict__ indices,
                float *__restrict__ values) {
    const int64_t row = blockIdx.x;
    topk_row(scores + row * columns, columns, n_active, names, k,
             scratch + (scratch == nullptr ? 0 : row * padded_size(k)), indices + row * k, values + row * k);
}

} // namespace

int64_t topk_scratch(int64_t rows, int64_t k) { return padded_size(k) <= kSharedKeys ? 0 : rows * padded_size(k); }

cudaError_t launch_topk(const float *scores, int64_t rows, int64_t columns, const int *n_active, const int *names,
                        int64_t k, uint64_t *keys, int *indices, float *values, cudaStream_t stream) {
    if (k > kMostListed) {
        return launch(topk_kernel, rows, stream, scores, columns, n_active, names, k,
                      topk_scratch(rows, k) == 0 ? nullptr : keys, indices, values);
    }
    Choice choice{};
    choice.k = k;
    choice.columns = columns;
    choice.names = names;
    choice.n_active = n_active;
    choice.scores = scores;
    choice.width = columns;
    choice.stride = columns;
    choice.last = true;
    choice.indices = indices;
    choice.values = values;
    return launch_choose(choice, rows, stream);
}

} // namespace sae::cuda
