/* decode.cu: sae_decode, and the sparse products of a training step; definitions are in decode.cuh. */
#include "decode.cuh"

#include <algorithm>
#include <vector>

#include "operations.h"

namespace sae::cuda {

cudaError_t launch_decode(const int *indices, const float *values, int64_t rows, int64_t k, const Gathered &w_dec,
                          const float *b_dec, int64_t d_in, int64_t d_sae, float *x_hat, int *bad_row,
                          cudaStream_t stream) {
    const bool wide = d_in % 4 == 0;
    const auto kernel = w_dec.bf16 ? (wide ? decode_kernel<Bf16, 4> : decode_kernel<Bf16, 1>)
                                   : (wide ? decode_kernel<float, 4> : decode_kernel<float, 1>);
    const int64_t slices = divide_up(d_in, kWarp * kDecodeChunks * (wide ? 4 : 1));
    return launch(kernel, divide_up(rows, kWarps) * slices, stream,
                  DecodeInputs{indices, values, rows, k, w_dec, b_dec, d_in, d_sae}, x_hat, bad_row);
}

cudaError_t launch_error(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                         const float *b_dec, const float *x, int64_t d_in, float *error, cudaStream_t stream) {
    return launch(error_kernel, rows, stream, indices, values, k, w_dec, b_dec, x, d_in, error);
}

cudaError_t launch_residual(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                            const float *error, int64_t d_in, float *residual, cudaStream_t stream) {
    return launch(residual_kernel, rows, stream, indices, values, k, w_dec, error, d_in, residual);
}

namespace {

struct DecodeScratch {
    int *bad_row;
    Staged<int> indices;
    Staged<float> values;
    Staged<float> x_hat;

    DecodeScratch(Carver &carver, int64_t rows, int64_t k, int64_t d_in, const Buffer &indices_, const Buffer &values_,
                  const Buffer &x_hat_)
        : bad_row(carver.take<int>(1)), indices(carver, indices_, rows * k), values(carver, values_, rows * k),
          x_hat(carver, x_hat_, rows * d_in) {}
};

/* Reports which index of a refused row is out of range. */
[[noreturn]] void refuse_index(const Context &context, const int *indices, int row, int64_t rows, int64_t k,
                               int64_t d_sae) {
    std::vector<int> of_row(static_cast<size_t>(k));
    check(cudaMemcpyAsync(of_row.data(), indices + row * k, of_row.size() * sizeof(int), cudaMemcpyDeviceToHost,
                          context.stream),
          "reading the refused row");
    context.synchronize();
    const auto bad =
        std::find_if(of_row.begin(), of_row.end(), [&](int latent) { return latent < 0 || latent >= d_sae; });
    fail(SAE_INVALID_ARGUMENT, "expected indices in [0, d_sae = " + std::to_string(d_sae) + "), got " +
                                   std::to_string(*bad) + " in row " + std::to_string(row) + " of " +
                                   std::to_string(rows));
}

} // namespace

sae_status decode(void *handle, void *indices, void *values, int64_t rows, int64_t k, void *x_hat) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        Context &context = *params.context;
        context.activate();
        require_size(rows, k);
        const auto scratch =
            context.scratch.make<DecodeScratch>(rows, k, params.d_in, *static_cast<Buffer *>(indices),
                                                *static_cast<Buffer *>(values), *static_cast<Buffer *>(x_hat));
        clear_bad_row(context, scratch.bad_row);
        check(launch_decode(scratch.indices.upload(), scratch.values.upload(), rows, k, gathered_decoder(params),
                            params.tensor(SAE_B_DEC), params.d_in, params.d_sae, scratch.x_hat.address, scratch.bad_row,
                            context.stream),
              "decoding");
        const int bad = read_bad_row(context, scratch.bad_row);
        if (bad != kNoBadRow) {
            refuse_index(context, scratch.indices.address, bad, rows, k, params.d_sae);
        }
        scratch.x_hat.download();
    });
}

} // namespace sae::cuda
