/* dead.cu: launches the counters and the list of dead latents; definitions are in dead.cuh. */
#include "dead.cuh"

namespace sae::cuda {

cudaError_t launch_dead(const DeadRule &rule, const Firing &firing, int64_t rows, int64_t d_sae,
                        const StepStatus *status, const IdleCounters &idle, const IdleCounters &counted, int *in_block,
                        const DeadLatents &out, cudaStream_t stream) {
    const int64_t blocks = divide_up(d_sae, kThreads);
    const cudaError_t error =
        launch(count_idle_kernel, blocks, stream, rule, firing, d_sae, rows, status, idle, counted, in_block);
    return error != cudaSuccess ? error
                                : launch(list_dead_kernel, blocks, stream, rule, d_sae, counted, in_block, blocks, out);
}

cudaError_t launch_gate_dead(const int *only_if, const DeadLatents &dead, cudaStream_t stream) {
    return launch(gate_dead_kernel, 1, stream, only_if, dead);
}

} // namespace sae::cuda
