/*
 * decode.cu: sparse rows times the decoder.
 *
 *   decode:    x_hat[b] = sum_s values[b, s] W_dec[indices[b, s]] + b_dec
 *   error:     e[b]     = the same - x[b]
 *   residual:  r[b]     = sum_s values[b, s] W_dec[indices[b, s]] + e[b]       (the auxiliary loss's residual)
 *
 * in:  indices int32 [rows, k], values float32 [rows, k], W_dec float32 [d_sae, d_in] (bf16 too in decode), b_dec
 *      float32 [d_in], x or e float32 [rows, d_in]
 * out: float32 [rows, d_in]; decode also lowers bad_row int32 [1] to the first row with an index outside [0, d_sae)
 *      and skips such terms. A term of value 0 is not read in error and residual (its index may be -1).
 * Bytes: 4 rows k d_in gathered (L2; 2 in bf16), 8 rows d_in streamed; 2 rows k d_in FLOP.
 * Launch: decode: a warp per row and slice of 16 columns per lane, slices outermost, so that L2 has to hold only 2048
 * d_sae bytes of W_dec (1024 in bf16); the others: one block of 256 threads per row, a thread per column in turn.
 * Not yet run on a GPU.
 * Deterministic: each element is one chain of fused multiply-adds in slot order.
 */
#include "decode.h"

#include <algorithm>
#include <vector>

#include "../device/reduce.cuh"
#include "../device/vectors.cuh"
#include "../encode/shadow_copies.h"
#include "../operations.h"

namespace sae::cuda {
namespace {

struct DecodeInputs {
    const int *indices;  // [rows, k]
    const float *values; // [rows, k]
    int64_t rows, k;
    Gathered w_dec;
    const float *b_dec;
    int64_t d_in, d_sae;
};

constexpr int kDecodeChunks = 4; // of Width columns per lane
constexpr int kDecodeUnroll = 4; // decoder rows in flight

template <typename Element, int Width>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(DecodeInputs in, float *__restrict__ x_hat, int *__restrict__ bad_row) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t row_blocks = (in.rows + kWarps - 1) / kWarps;
    const int64_t row = blockIdx.x % row_blocks * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= in.rows) {
        return; // the same for the whole warp
    }
    const int64_t slice = blockIdx.x / row_blocks;
    const int64_t first_column = (slice * kDecodeChunks * kWarp + lane) * Width;
    float sum[kDecodeChunks][Width] = {};
    for (int64_t first = 0; first < in.k; first += kWarp) {
        const int64_t mine = first + lane;
        int latent = mine < in.k ? in.indices[row * in.k + mine] : 0;
        float value = mine < in.k ? in.values[row * in.k + mine] : 0.0f;
        if (latent < 0 || latent >= in.d_sae) {
            atomicMin(bad_row, static_cast<int>(row));
            latent = 0;
            value = 0.0f;
        }
        const int slots = static_cast<int>(in.k - first < kWarp ? in.k - first : kWarp);
#pragma unroll kDecodeUnroll
        for (int slot = 0; slot < slots; slot++) {
            const auto *direction = gathered_row<Element>(in.w_dec, __shfl_sync(0xFFFFFFFFu, latent, slot));
            const float scale = __shfl_sync(0xFFFFFFFFu, value, slot);
#pragma unroll
            for (int chunk = 0; chunk < kDecodeChunks; chunk++) {
                const int64_t column = first_column + chunk * kWarp * Width;
                if (column < in.d_in) {
                    float weights[Width];
                    load(direction + column, weights);
#pragma unroll
                    for (int at = 0; at < Width; at++) {
                        sum[chunk][at] = fmaf(scale, weights[at], sum[chunk][at]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int chunk = 0; chunk < kDecodeChunks; chunk++) {
        const int64_t column = first_column + chunk * kWarp * Width;
        if (column < in.d_in) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                sum[chunk][at] += in.b_dec[column + at];
            }
            store_stream(x_hat + row * in.d_in + column, sum[chunk]);
        }
    }
}

__device__ inline float sparse_dot(const int *indices, const float *values, int64_t k, const float *w_dec, int64_t d_in,
                                   int64_t i) {
    float sum = 0.0f;
    for (int64_t slot = 0; slot < k && values[slot] > 0.0f; slot++) { // values are sorted: the rest is 0
        sum = fmaf(values[slot], w_dec[indices[slot] * d_in + i], sum);
    }
    return sum;
}

__global__ void __launch_bounds__(kThreads)
    error_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                 const float *__restrict__ w_dec, const float *__restrict__ b_dec, const float *__restrict__ x,
                 int64_t d_in, float *__restrict__ error) {
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float sum = sparse_dot(indices + row * k, values + row * k, k, w_dec, d_in, i);
        error[row * d_in + i] = sum + (b_dec[i] - x[row * d_in + i]);
    }
}

__global__ void __launch_bounds__(kThreads)
    residual_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                    const float *__restrict__ w_dec, const float *__restrict__ error, int64_t d_in,
                    float *__restrict__ residual) {
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        const float sum = sparse_dot(indices + row * k, values + row * k, k, w_dec, d_in, i);
        residual[row * d_in + i] = sum + error[row * d_in + i];
    }
}

} // namespace

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
