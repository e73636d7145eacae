/* preact_plain.cu: launches of preact_plain.cuh; contract and cost are there. */
#include "preact_plain.cuh"

namespace sae::cuda {
namespace {

template <typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const int64_t tiles = divide_up(operands.rows, kPlainTile) * divide_up(operands.last - operands.first, kPlainTile);
    return launch(preact_plain_kernel<Epilogue>, tiles, context.stream, operands, epilogue);
}

} // namespace

cudaError_t launch_plain(const Context &context, const Operands &operands, const ScoreTarget &target) {
    return storing(target, operands.rows, [&](const auto &epilogue) { return run(context, operands, epilogue); });
}

cudaError_t launch_plain(const Context &context, const Operands &operands, const ListTarget &target) {
    return target.rows == nullptr ? run(context, operands, ListCandidates<false>{target, operands.rows})
                                  : run(context, operands, ListCandidates<true>{target, operands.rows});
}

} // namespace sae::cuda
