/* lists.cu: launches the lists of a step; definitions are in lists.cuh. */
#include "lists.cuh"

namespace sae::cuda {

cudaError_t launch_collect(const ListInputs &in, const double *forward_squares, int64_t forward_blocks,
                           const LatentLists &lists, double *partials, cudaStream_t stream) {
    return launch(collect_kernel, kCollectBlocks, stream, in, forward_squares, forward_blocks, lists, partials);
}

cudaError_t launch_stretches(const LatentLists &lists, const uint32_t *sorted, int64_t entries, int64_t d_sae,
                             const Gathered &gradient, const Gathered &input, int64_t d_in, cudaStream_t stream) {
    const bool wide = d_in % 4 == 0;
    const int64_t blocks = entries / kStretch * 2 * divide_up(d_in, kThreads * (wide ? 4 : 1));
    const auto kernel = gradient.bf16 ? (wide ? stretch_kernel<Bf16, 4> : stretch_kernel<Bf16, 1>)
                                      : (wide ? stretch_kernel<float, 4> : stretch_kernel<float, 1>);
    return launch(kernel, blocks, stream, lists, sorted, d_sae, gradient, input, d_in);
}

} // namespace sae::cuda
