/* aux_bf16.cu: launches the products over the dead latents on the tensor cores; definitions are in aux_bf16.cuh. */
#include "aux_bf16.cuh"

#include <algorithm>

namespace sae::cuda {
namespace {

template <typename... Parameters, typename... Arguments>
cudaError_t transpose(void (*kernel)(Parameters...), int64_t rows, int64_t columns, cudaStream_t stream,
                      const Arguments &...arguments) {
    const int64_t tiles = divide_up(rows, kTransposeTile) * divide_up(columns, kTransposeTile);
    return launch(kernel, std::min(tiles, kTurnBlocks), stream, arguments...);
}

/* gradient [n, d_in]: transposed_rows [d_in, B'] times transposed_part [most, B'], transposed. */
cudaError_t weight_gradient(const Context &context, const DeadBf16 &dead, const DensePart &part,
                            const uint16_t *transposed_rows, const uint16_t *transposed_part, float *gradient) {
    const Operands operands{transposed_rows,  dead.d_in, transposed_part, nullptr, part.most,
                            dead.padded_rows, nullptr,   part.count,      0,       part.most};
    return launch_preactivations(context, operands, ScoreTarget{gradient, dead.d_in, Store::kTransposed});
}

} // namespace

cudaError_t launch_reconstruct_dead(const Context &context, const DeadBf16 &dead, const DensePart &part, float *out) {
    const cudaError_t error = transpose(transpose_decoder_kernel, part.most, dead.d_in, context.stream, dead, part);
    if (error != cudaSuccess) {
        return error;
    }
    const Operands operands{
        dead.z,    dead.rows, dead.decoder_transposed, nullptr, dead.d_in, part.most, nullptr, nullptr, 0,
        dead.d_in, part.count};
    const Store how = part.first > 0 ? Store::kAdd : Store::kSet;
    return launch_preactivations(context, operands, ScoreTarget{out, dead.d_in, how});
}

cudaError_t launch_transpose_batch(const DeadBf16 &dead, const float *aux_gradient, cudaStream_t stream) {
    return transpose(transpose_batch_kernel, dead.rows, dead.d_in, stream, dead, aux_gradient);
}

cudaError_t launch_dense_gradients(const Context &context, const DeadBf16 &dead, const DensePart &part, float *by_z,
                                   float *by_dz, float *bias) {
    const Operands operands{dead.gradient, dead.rows,  static_cast<const uint16_t *>(dead.decoder.rows),
                            nullptr,       dead.d_sae, dead.decoder.stride,
                            part.latents,  part.count, 0,
                            part.most};
    cudaError_t error = launch_preactivations(context, operands, ScoreTarget{dead.dz, part.most});
    if (error == cudaSuccess) {
        error = transpose(transpose_part_kernel, dead.rows, part.most, context.stream, dead, part);
    }
    if (error == cudaSuccess) {
        error = launch(total_bias_kernel, divide_up(part.most, kThreads), context.stream, dead, part, bias);
    }
    if (error == cudaSuccess) {
        error = weight_gradient(context, dead, part, dead.gradient_transposed, dead.z_transposed, by_z);
    }
    return error != cudaSuccess
               ? error
               : weight_gradient(context, dead, part, dead.input_transposed, dead.dz_transposed, by_dz);
}

} // namespace sae::cuda
