/* select.cu: launches of the choice among pre-activations; contract and cost are in select.cuh. */
#include "select.cuh"

#include <algorithm>

namespace sae::cuda {
namespace {

constexpr int64_t kLeastCapacity = 2 * kSegment; // so that a half-full list leaves room for a segment

template <typename Kernel>
cudaError_t run(Kernel *kernel, const Choice &choice, int64_t rows, cudaStream_t stream) {
    const int64_t capacity = std::max(choice.capacity, kLeastCapacity);
    const int bytes = static_cast<int>(capacity * kListed);
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    return error != cudaSuccess ? error : launch({rows, kThreads, bytes, 1}, kernel, stream, choice, capacity);
}

} // namespace

cudaError_t launch_choose(const Choice &choice, int64_t rows, cudaStream_t stream) {
    if (choice.list == nullptr && choice.rows == nullptr && choice.overflowed == nullptr) {
        return run(choose_dense_kernel, choice, rows, stream);
    }
    return choice.rows == nullptr ? run(choose_kernel<false>, choice, rows, stream)
                                  : run(choose_kernel<true>, choice, rows, stream);
}

cudaError_t launch_recompute(const Recompute &recompute, int64_t slots, cudaStream_t stream) {
    return launch(recompute_kernel, slots, stream, recompute);
}

} // namespace sae::cuda
