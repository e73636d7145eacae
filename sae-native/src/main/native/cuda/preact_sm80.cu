/* preact_sm80.cu: launches of preact_sm80.cuh; contract and cost are there. */
#include "preact_sm80.cuh"

#include <algorithm>

namespace sae::cuda {
namespace {

template <typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const auto kernel = sm80::preact_kernel<Epilogue>;
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sm80::kSharedBytes);
    if (error != cudaSuccess) {
        return error;
    }
    const int64_t tiles =
        divide_up(operands.rows, sm80::kRows) * divide_up(operands.last - operands.first, sm80::kColumns);
    const int64_t blocks = std::min<int64_t>(tiles, context.properties.multiProcessorCount);
    return launch({blocks, kThreads, sm80::kSharedBytes, 1}, kernel, context.stream, operands, epilogue);
}

} // namespace

cudaError_t launch_sm80(const Context &context, const Operands &operands, const ScoreTarget &target) {
    return storing(target, operands.rows, [&](const auto &epilogue) { return run(context, operands, epilogue); });
}

cudaError_t launch_sm80(const Context &context, const Operands &operands, const ListTarget &target) {
    return target.rows == nullptr ? run(context, operands, ListCandidates<false>{target, operands.rows})
                                  : run(context, operands, ListCandidates<true>{target, operands.rows});
}

} // namespace sae::cuda
