/*
 * decode.cu: sparse rows times the decoder.
 *
 *   decode:    x_hat[b] = sum_s values[b, s] W_dec[indices[b, s]] + b_dec + x W_skip^T     (the last by matmul_nt.cu)
 *   error:     e[b]     = the same - y[b]              (y the target; the skip's part is in e already, train/skip.cu)
 *   residual:  r[b]     = sum_s values[b, s] W_dec[indices[b, s]] + e[b]       (the auxiliary loss's residual)
 *
 * in:  indices int32 [rows, k], values float32 [rows, k] (in decode also ragged rows), W_dec float32 [d_sae, d_in] (bf16
 *      too in decode, where d_in is d_out), b_dec float32 [d_in], x or e float32 [rows, d_in]
 * out: float32 [rows, d_in]; decode also lowers bad_row int32 [1] to the first row with an index outside [0, d_sae)
 *      and skips such terms, or with offsets that descend or leave the entries, and skips the row. A term of value 0 is not read in error and residual (its index may be -1).
 * Bytes: 4 rows k d_in gathered (L2; 2 in bf16), 8 rows d_in streamed; 2 rows k d_in FLOP.
 * Launch: decode: a warp per row and slice of 16 columns per lane, slices outermost, so that L2 has to hold only 2048
 * d_sae bytes of W_dec (1024 in bf16); the others: one block of 256 threads per row, a thread per column in turn.
 * Not yet run on a GPU.
 * Deterministic: each element is one chain of fused multiply-adds in slot order.
 */
#include "decode.h"

#include <algorithm>
#include <vector>

#include "../device/matmul_nt.h"
#include "../device/reduce.cuh"
#include "../device/vectors.cuh"
#include "../encode/shadow_copies.h"
#include "../operations.h"

namespace sae::cuda {
namespace {

struct DecodeInputs {
    const int *offsets;  // [rows + 1]; null: k entries a row
    const int *indices;  // [rows, k] or [entries]
    const float *values; // the same
    int64_t rows, k, entries;
    Gathered w_dec;
    const float *base;   // what the sums are added to, b_dec; with a skip [rows, d_in], x_hat itself
    int64_t base_stride; // 0: the same for every row
    int64_t d_in, d_sae;
};

constexpr int kDecodeChunks = 4; // of Width columns per lane
constexpr int kDecodeUnroll = 4; // decoder rows in flight

template <typename Element, int Width>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(DecodeInputs in, float *x_hat /* may be in.base */, int *__restrict__ bad_row) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t row_blocks = (in.rows + kWarps - 1) / kWarps;
    const int64_t row = blockIdx.x % row_blocks * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= in.rows) {
        return; // the same for the whole warp
    }
    const int64_t slice = blockIdx.x / row_blocks;
    const int64_t first_column = (slice * kDecodeChunks * kWarp + lane) * Width;
    float sum[kDecodeChunks][Width] = {};
    const int64_t begin = in.offsets == nullptr ? row * in.k : in.offsets[row];
    int64_t end = in.offsets == nullptr ? begin + in.k : in.offsets[row + 1];
    if (begin < 0 || begin > end || end > in.entries) { // the same for the whole warp
        atomicMin(bad_row, static_cast<int>(row));
        end = begin;
    }
    for (int64_t first = begin; first < end; first += kWarp) {
        const int64_t mine = first + lane;
        int latent = mine < end ? in.indices[mine] : 0;
        float value = mine < end ? in.values[mine] : 0.0f;
        if (latent < 0 || latent >= in.d_sae) {
            atomicMin(bad_row, static_cast<int>(row));
            latent = 0;
            value = 0.0f;
        }
        const int slots = static_cast<int>(end - first < kWarp ? end - first : kWarp);
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
                sum[chunk][at] += in.base[row * in.base_stride + column + at];
            }
            store_stream(x_hat + row * in.d_in + column, sum[chunk]);
        }
    }
}

__device__ inline float sparse_dot(const int *indices, const float *values, int64_t k, const float *w_dec, int64_t d_in,
                                   int64_t i) {
    float sum = 0.0f;
    for (int64_t slot = 0; slot < k && indices[slot] >= 0; slot++) { // a slot without a latent is the last
        const float value = values[slot];
        if (value != 0.0f) { // the same for the whole block
            sum = fmaf(value, w_dec[indices[slot] * d_in + i], sum);
        }
    }
    return sum;
}

__global__ void __launch_bounds__(kThreads)
    error_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                 const float *__restrict__ w_dec, const float *__restrict__ b_dec, const float *__restrict__ y,
                 int64_t d_out, bool add, float *__restrict__ error) {
    const int64_t row = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d_out; i += kThreads) {
        const float sum = sparse_dot(indices + row * k, values + row * k, k, w_dec, d_out, i);
        float &target = error[row * d_out + i];
        const float base = b_dec[i] - y[row * d_out + i];
        target = sum + (add ? target + base : base);
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

cudaError_t launch_error(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                         const float *b_dec, const float *y, int64_t d_out, bool add, float *error,
                         cudaStream_t stream) {
    return launch(error_kernel, rows, stream, indices, values, k, w_dec, b_dec, y, d_out, add, error);
}

cudaError_t launch_residual(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                            const float *error, int64_t d_in, float *residual, cudaStream_t stream) {
    return launch(residual_kernel, rows, stream, indices, values, k, w_dec, error, d_in, residual);
}

namespace {

cudaError_t launch_decode(const DecodeInputs &in, float *x_hat, int *bad_row, cudaStream_t stream) {
    const bool wide = in.d_in % 4 == 0;
    const auto kernel = in.w_dec.bf16 ? (wide ? decode_kernel<Bf16, 4> : decode_kernel<Bf16, 1>)
                                      : (wide ? decode_kernel<float, 4> : decode_kernel<float, 1>);
    const int64_t slices = divide_up(in.d_in, kWarp * kDecodeChunks * (wide ? 4 : 1));
    return launch(kernel, divide_up(in.rows, kWarps) * slices, stream, in, x_hat, bad_row);
}

/* Ints [first, first + n) of a buffer; waits. */
std::vector<int> read_ints(const Buffer &from, int64_t first, int64_t n) {
    std::vector<int> ints(static_cast<size_t>(n));
    const int *source = static_cast<const int *>(from.address) + first;
    if (from.place == SAE_HOST) {
        from.context->synchronize();
        std::copy_n(source, n, ints.data());
        return ints;
    }
    check(cudaMemcpyAsync(ints.data(), source, ints.size() * sizeof(int), cudaMemcpyDeviceToHost, from.context->stream),
          "reading latents");
    from.context->synchronize();
    return ints;
}

/* A batch of latents on the device, and what decoding it takes besides. */
struct DecodeScratch {
    int *bad_row;
    Staged<int> offsets; // of no elements without offsets
    Staged<int> indices;
    Staged<float> values;
    Staged<float> x; // of no elements without a skip
    Staged<float> x_hat;

    DecodeScratch(Carver &carver, const Params &params, const sae_latents &latents, int64_t rows, int64_t entries,
                  const Buffer *x_, const Buffer &x_hat_)
        : bad_row(carver.take<int>(1)),
          offsets(carver, *buffer(latents.offsets == nullptr ? latents.indices : latents.offsets),
                  latents.offsets == nullptr ? 0 : rows + 1),
          indices(carver, *buffer(latents.indices), entries), values(carver, *buffer(latents.values), entries),
          x(carver, x_ == nullptr ? x_hat_ : *x_, x_ == nullptr ? 0 : rows * params.d_in),
          x_hat(carver, x_hat_, rows * params.d_out) {}

    static const Buffer *buffer(const void *handle) { return static_cast<const Buffer *>(handle); }
};

[[noreturn]] void refuse_offsets(int begin, int end, int64_t row, int64_t room) {
    fail(SAE_INVALID_ARGUMENT, "expected offsets that ascend within [0, " + std::to_string(room) + "], got " +
                                   std::to_string(begin) + " and " + std::to_string(end) + " in row " +
                                   std::to_string(row));
}

/* Entries of a batch, as its last offset has it: how many of `room` are used. */
int64_t entries_of(const sae_latents &latents, int64_t rows) {
    if (latents.offsets == nullptr) {
        return rows * latents.k;
    }
    const std::vector<int> last = read_ints(*DecodeScratch::buffer(latents.offsets), rows - 1, 2);
    if (last[1] < 0 || last[1] > latents.room) {
        refuse_offsets(last[0], last[1], rows - 1, latents.room);
    }
    return last[1];
}

/* Reports what is wrong with a refused row: its offsets, or which index is out of range. */
[[noreturn]] void refuse_row(const sae_latents &latents, int64_t entries, int row, int64_t rows, int64_t d_sae) {
    int64_t begin = row * latents.k;
    int64_t end = begin + latents.k;
    if (latents.offsets != nullptr) {
        const std::vector<int> of_row = read_ints(*DecodeScratch::buffer(latents.offsets), row, 2);
        if (of_row[0] < 0 || of_row[0] > of_row[1] || of_row[1] > entries) {
            refuse_offsets(of_row[0], of_row[1], row, latents.room);
        }
        begin = of_row[0];
        end = of_row[1];
    }
    const std::vector<int> indices = read_ints(*DecodeScratch::buffer(latents.indices), begin, end - begin);
    const auto bad =
        std::find_if(indices.begin(), indices.end(), [&](int latent) { return latent < 0 || latent >= d_sae; });
    fail(SAE_INVALID_ARGUMENT, "expected indices in [0, d_sae = " + std::to_string(d_sae) + "), got " +
                                   std::to_string(*bad) + " in row " + std::to_string(row) + " of " +
                                   std::to_string(rows));
}

} // namespace

sae_status decode(void *handle, const sae_latents *latents, int64_t rows, void *x, void *x_hat) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        Context &context = *params.context;
        context.activate();
        require_size(rows, latents->offsets == nullptr ? latents->k : 1);
        const int64_t entries = entries_of(*latents, rows);
        const auto scratch = context.scratch.make<DecodeScratch>(
            params, *latents, rows, entries, static_cast<Buffer *>(x), *static_cast<Buffer *>(x_hat));
        clear_bad_row(context, scratch.bad_row);
        DecodeInputs in{
            .offsets = latents->offsets == nullptr ? nullptr : scratch.offsets.upload(),
            .indices = scratch.indices.upload(),
            .values = scratch.values.upload(),
            .rows = rows,
            .k = latents->k,
            .entries = entries,
            .w_dec = gathered_decoder(params),
            .base = params.tensor(SAE_B_DEC),
            .base_stride = 0,
            .d_in = params.d_out,
            .d_sae = params.d_sae,
        };
        if (x != nullptr) {
            check(launch_matmul_nt(scratch.x.upload(), rows, params.tensor(SAE_W_SKIP), params.d_out, params.d_in,
                                   nullptr, nullptr, in.base, scratch.x_hat.address, context.stream),
                  "multiplying by the skip");
            in.base = scratch.x_hat.address;
            in.base_stride = params.d_out;
        }
        check(launch_decode(in, scratch.x_hat.address, scratch.bad_row, context.stream), "decoding");
        const int bad = read_bad_row(context, scratch.bad_row);
        if (bad != kNoBadRow) {
            refuse_row(*latents, entries, bad, rows, params.d_sae);
        }
        scratch.x_hat.download();
    });
}

} // namespace sae::cuda
