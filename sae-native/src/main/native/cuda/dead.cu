/* dead.cu: launches the counters and the list of dead latents; definitions are in dead.cuh. */
#include "dead.cuh"

namespace sae::cuda {

cudaError_t launch_dead(const int *indices, const float *values, int64_t rows, int64_t k, int64_t d_sae,
                        int64_t after_batches, int64_t after_rows, const StepStatus *status, int *fired,
                        int64_t *idle_batches, int64_t *idle_rows, int *dead_list, int *n_dead, cudaStream_t stream) {
    cudaError_t error = cudaMemsetAsync(fired, 0, static_cast<size_t>(d_sae) * sizeof(int), stream);
    if (error == cudaSuccess) {
        error = launch(mark_fired_kernel, divide_up(rows * k, kThreads), stream, indices, values, rows * k, fired);
    }
    if (error == cudaSuccess) {
        error = launch(count_idle_kernel, divide_up(d_sae, kThreads), stream, fired, d_sae, rows, status, idle_batches,
                       idle_rows);
    }
    if (error == cudaSuccess) {
        error = launch(compact_dead_kernel, 1, stream, idle_batches, idle_rows, d_sae, after_batches, after_rows,
                       dead_list, n_dead);
    }
    return error;
}

} // namespace sae::cuda
