/* preact_sm90.cu: launches of preact_sm90.cuh, with the maps that its copy engine reads; contract and cost are there. */
#include "preact_sm90.cuh"

#include <algorithm>

namespace sae::cuda {
namespace {

/* A tensor map of a bf16 matrix [rows, depth] in boxes of [box_rows, 64], into swizzled tiles. */
cudaError_t make_map(const Context &context, const uint16_t *matrix, int64_t rows, int64_t depth, int box_rows,
                     CUtensorMap *map) {
    const cuuint64_t dimensions[2] = {static_cast<cuuint64_t>(depth), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[1] = {static_cast<cuuint64_t>(depth) * sizeof(uint16_t)};
    const cuuint32_t box[2] = {sm90::kDepth, static_cast<cuuint32_t>(box_rows)};
    const cuuint32_t each[2] = {1, 1};
    const CUresult result =
        context.encode_map(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<uint16_t *>(matrix), dimensions,
                           strides, box, each, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const auto kernel = sm90::preact_kernel<Epilogue>;
    CUtensorMap x_map;
    CUtensorMap w_map;
    cudaError_t error = make_map(context, operands.x, operands.rows, operands.depth, sm90::kRows, &x_map);
    if (error == cudaSuccess) {
        error = make_map(context, operands.w, operands.d_sae, operands.depth, sm90::kColumns / sm90::kCluster, &w_map);
    }
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sm90::kSharedBytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const int64_t tiles = divide_up(operands.rows, sm90::kCluster * sm90::kRows) *
                          divide_up(operands.last - operands.first, sm90::kColumns);
    const int64_t clusters =
        std::min<int64_t>(tiles, std::max(context.properties.multiProcessorCount / sm90::kCluster, 1));
    return launch({clusters * sm90::kCluster, sm90::kBlockThreads, sm90::kSharedBytes, sm90::kCluster}, kernel,
                  context.stream, x_map, w_map, operands, epilogue);
}

} // namespace

cudaError_t launch_sm90(const Context &context, const Operands &operands, const ScoreTarget &target) {
    return storing(target, operands.rows, [&](const auto &epilogue) { return run(context, operands, epilogue); });
}

cudaError_t launch_sm90(const Context &context, const Operands &operands, const ListTarget &target) {
    return target.rows == nullptr ? run(context, operands, ListCandidates<false>{target, operands.rows})
                                  : run(context, operands, ListCandidates<true>{target, operands.rows});
}

/* With `names` the rows of W are gathered, which Hopper's copy engine cannot do: sm_80's kernel does it. */
template <typename Target>
cudaError_t dispatch(const Context &context, const Operands &operands, const Target &target) {
    if (operands.rows == 0 || operands.first >= operands.last) {
        return cudaSuccess;
    }
    if (context.kernels == Kernels::kPlain) {
        return launch_plain(context, operands, target);
    }
    return context.kernels == Kernels::kSm80 || operands.names != nullptr ? launch_sm80(context, operands, target)
                                                                          : launch_sm90(context, operands, target);
}

cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ScoreTarget &target) {
    return dispatch(context, operands, target);
}

cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ListTarget &target) {
    return dispatch(context, operands, target);
}

} // namespace sae::cuda
