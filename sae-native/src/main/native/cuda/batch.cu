/* batch.cu: launches the pass over the rows of a step; definitions are in batch.cuh. */
#include "batch.cuh"

#include "kernels.h"

namespace sae::cuda {

int64_t batch_scratch(int64_t rows, int64_t d_in) { return divide_up(rows, kBatchRows) * kBatchSums * d_in; }

cudaError_t launch_prepare_batch(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                 int *bad_row, double *partials, double *moments, cudaStream_t stream) {
    const int64_t chunks = divide_up(rows, kBatchRows);
    const int64_t column_blocks = divide_up(d_in, kThreads);
    const cudaError_t error =
        launch(prepare_batch_kernel, chunks * column_blocks, stream, x, b_dec, rows, d_in, centred, bad_row, partials);
    return error != cudaSuccess
               ? error
               : launch(batch_moments_kernel, column_blocks, stream, partials, chunks, rows, d_in, moments);
}

} // namespace sae::cuda
