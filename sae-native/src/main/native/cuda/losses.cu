/* losses.cu: launches sums, losses and output gradients; definitions are in losses.cuh. */
#include "losses.cuh"

namespace sae::cuda {

int64_t column_scratch(int64_t rows, int64_t columns) { return divide_up(rows, kChunk) * columns; }

cudaError_t launch_column_sums(const float *a, const float *weights, int64_t rows, int64_t columns, double *partials,
                               double *sums, cudaStream_t stream, const int *only_if) {
    const int64_t chunks = divide_up(rows, kChunk);
    const int64_t column_blocks = divide_up(columns, kThreads);
    cudaError_t error =
        launch(column_partials_kernel, chunks * column_blocks, stream, a, weights, rows, columns, only_if, partials);
    return error != cudaSuccess
               ? error
               : launch(column_totals_kernel, column_blocks, stream, partials, chunks, columns, only_if, sums);
}

cudaError_t launch_squares_about(const float *a, const double *column_sums, int64_t rows, int64_t columns,
                                 double *squares, double *total, cudaStream_t stream) {
    cudaError_t error =
        launch(row_squares_kernel, rows, stream, a, column_sums, 1.0 / static_cast<double>(rows), columns, squares);
    return error != cudaSuccess ? error : launch(total_kernel, 1, stream, squares, rows, total);
}

cudaError_t launch_count_active(const float *values, int64_t entries, double *total, cudaStream_t stream) {
    return launch(count_active_kernel, 1, stream, values, entries, total);
}

cudaError_t launch_scales(const LossOptions &options, int64_t rows, int64_t d_in, const int *n_dead, bool first,
                          StepSums *sums, StepStatus *status, cudaStream_t stream) {
    return launch(scales_kernel, 1, stream, options, static_cast<double>(rows), static_cast<double>(d_in), n_dead,
                  first, sums, status);
}

cudaError_t launch_output_gradient(const StepSums *sums, bool detach, int64_t count, float *error, float *residual,
                                   cudaStream_t stream) {
    return launch(output_gradient_kernel, divide_up(count, kThreads), stream, sums, detach, count, error, residual);
}

} // namespace sae::cuda
