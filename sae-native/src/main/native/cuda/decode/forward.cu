/*
 * forward.cu: decode, error, output gradient and the latents' gradient in one pass over the decoder rows of a batch row.
 *
 *   e[b]     = sum_s z[b, s] W_dec[j(b, s)] + b_dec - x[b]
 *   r[b]     = a[b] + e[b]                         a = z_aux W_dec, only if there are dead latents
 *   ga[b]    = aux_scale r[b]                      (the scales are in StepSums, known before: losses.cu)
 *   g[b]     = error_scale e[b] + (detach ? 0 : ga[b])
 *   dz[b, s] = <g[b], W_dec[j(b, s)]>              where z[b, s] > 0
 *
 * in:  indices int32, values float32 [rows, k], values descending; W_dec float32 or bf16 [d_sae, d_in]; b_dec float32
 *      [d_in]; x, a float32 [rows, d_in]
 * out: g float32 [rows, d_in], also in bf16 where wanted; ga replaces a;
 *      dz_parts float32 [slices, rows, k]: each column slice's part of dz, to be added in slice order;
 *      squares double [3, slices rows]: of e, r and g by block
 *
 * How: columns are cut into slices. A warp holds the slice of its slots' rows in registers, Slots x Chunks chunks of
 * Width columns per lane, so a decoder row is read once for both uses; the slices of a row do not communicate. A
 * slot belongs to warp slot % 8. More slots than registers hold (k > 128): the rows are read a second time for dz.
 * Bytes: 4 rows k d_in gathered (2 in bf16; twice that if read again) + 8 rows d_in streamed (12 with dead latents)
 *        + 4 slices rows k; 4 rows k d_in FLOP.
 * Launch: a block of 256 threads per row and slice, slices outermost: L2 has to hold one slice of W_dec,
 * 4 (2) d_sae (slice width) bytes. Shared memory: 32 Width Chunks x 8 floats, at most 32 KiB.
 * Deterministic: sums over slots, warps and lanes in a fixed order. Not measured on a GPU yet; considered but not
 * built: rows kept in shared memory with a cluster per batch row (needs an exchange over the cluster for dz).
 */
#include "forward.h"

#include "../device/bf16_bits.h"
#include "../device/reduce.cuh"
#include "../device/vectors.cuh"
#include "../train/step_numbers.cuh"

namespace sae::cuda {
namespace {

/* One warp's share of its slots' decoder rows. */
template <typename Element, int Width, int Slots, int Chunks>
struct HeldRows {
    float weights[Slots][Chunks][Width];
    float values[Slots];

    __device__ inline void read(const ForwardInputs &in, int64_t row, int64_t first_slot, int64_t first_column,
                                int64_t end_column, int lane) {
#pragma unroll
        for (int i = 0; i < Slots; i++) {
            const int64_t slot = first_slot + i * kWarps;
            values[i] = slot < in.k ? in.values[row * in.k + slot] : 0.0f;
            const bool kept = values[i] > 0.0f;
            const auto *direction = gathered_row<Element>(in.w_dec, kept ? in.indices[row * in.k + slot] : 0);
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
                const int64_t column = first_column + (chunk * kWarp + lane) * Width;
                if (kept && column < end_column) {
                    load(direction + column, weights[i][chunk]);
                } else {
#pragma unroll
                    for (int at = 0; at < Width; at++) {
                        weights[i][chunk][at] = 0.0f;
                    }
                }
            }
        }
    }

    __device__ inline void add_to(float (&sum)[Chunks][Width]) const {
#pragma unroll
        for (int i = 0; i < Slots; i++) {
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    sum[chunk][at] = fmaf(values[i], weights[i][chunk][at], sum[chunk][at]);
                }
            }
        }
    }

    /* parts [k] of this row and slice */
    __device__ inline void dot(const float (&gradient)[Chunks][Width], int64_t k, int64_t first_slot, int lane,
                               float *parts) const {
        float dots[Slots];
#pragma unroll
        for (int i = 0; i < Slots; i++) {
            dots[i] = 0.0f;
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    dots[i] = fmaf(gradient[chunk][at], weights[i][chunk][at], dots[i]);
                }
            }
        }
        const float total = warp_transposed_sums(dots);
        constexpr int kLanesEach = kWarp / Slots;
        const int64_t slot = first_slot + lane / kLanesEach * kWarps;
        if (lane % kLanesEach == 0 && slot < k) {
            parts[slot] = total;
        }
    }
};

/* Again: more slots than Slots * kWarps, whose rows are read once for each use. */
template <typename Element, int Width, int Slots, int Chunks, bool Again>
__global__ void __launch_bounds__(kThreads) forward_kernel(ForwardInputs in, ForwardOutputs out) {
    constexpr int kColumns = kWarp * Chunks * Width;        // of a slice
    alignas(16) __shared__ float partial[kWarps][kColumns]; // by warp; afterwards [0] is g
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kWarp;
    const int warp = thread / kWarp;
    const int64_t row = blockIdx.x % in.rows;
    const int64_t slice = blockIdx.x / in.rows;
    const int64_t first_column = slice * kColumns;
    const int64_t end_column = first_column + kColumns < in.d_in ? first_column + kColumns : in.d_in;
    const int64_t batches = Again ? (in.k + Slots * kWarps - 1) / (Slots * kWarps) : 1;

    __shared__ Scales scales;
    if (thread == 0) {
        scales = scales_of(in.loss, static_cast<double>(in.rows), static_cast<double>(in.d_in),
                           in.n_dead == nullptr ? 0 : *in.n_dead, *in.sums);
    }
    HeldRows<Element, Width, Slots, Chunks> held;
    float mine[Chunks][Width] = {};
    for (int64_t batch = 0; batch < batches; batch++) {
        held.read(in, row, batch * Slots * kWarps + warp, first_column, end_column, lane);
        held.add_to(mine);
    }
#pragma unroll
    for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
        for (int at = 0; at < Width; at++) {
            partial[warp][(chunk * kWarp + lane) * Width + at] = mine[chunk][at];
        }
    }
    __syncthreads();

    const bool any_dead = in.n_dead != nullptr && *in.n_dead > 0;
    const auto error_scale = static_cast<float>(scales.error);
    const auto aux_scale = static_cast<float>(scales.aux);
    double squares[3] = {}; // of e, r and g
    for (int at = thread; at < kColumns; at += kThreads) {
        const int64_t column = first_column + at;
        float gradient = 0.0f;
        if (column < end_column) {
            float sum = 0.0f;
            for (int of = 0; of < kWarps; of++) {
                sum += partial[of][at];
            }
            const int64_t element = row * in.d_in + column;
            const float error = sum + (in.b_dec[column] - in.x[element]);
            gradient = error_scale * error;
            squares[0] += static_cast<double>(error) * error;
            if (any_dead) {
                const float residual = out.aux_gradient[element] + error;
                const float through_aux = aux_scale * residual;
                squares[1] += static_cast<double>(residual) * residual;
                out.aux_gradient[element] = through_aux;
                gradient += in.detach ? 0.0f : through_aux;
            }
            squares[2] += static_cast<double>(gradient) * gradient;
            out.gradient[element] = gradient;
            if (out.rounded != nullptr) {
                out.rounded[row * in.w_dec.stride + column] = to_bf16(gradient);
            }
        }
        partial[0][at] = gradient; // no other thread reads this column's sums
    }
    __syncthreads();

#pragma unroll
    for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
        for (int at = 0; at < Width; at++) {
            mine[chunk][at] = partial[0][(chunk * kWarp + lane) * Width + at];
        }
    }
    float *parts = out.dz_parts + (slice * in.rows + row) * in.k;
    for (int64_t batch = 0; batch < batches; batch++) {
        const int64_t first_slot = batch * Slots * kWarps + warp;
        if (Again) {
            held.read(in, row, first_slot, first_column, end_column, lane);
        }
        held.dot(mine, in.k, first_slot, lane, parts);
    }

    block_sums(squares);
    if (thread == 0) {
        for (int which = 0; which < 3; which++) {
            out.squares[which * in.rows * in.slices + blockIdx.x] = squares[which];
        }
    }
}

/* A warp's registers, by k: Slots x Chunks is always 16. */
struct ForwardShape {
    int slots;
    int chunks;
    bool again;
};

ForwardShape forward_shape(int64_t k) {
    return k <= 16    ? ForwardShape{2, 8, false}
           : k <= 32  ? ForwardShape{4, 4, false}
           : k <= 64  ? ForwardShape{8, 2, false}
           : k <= 128 ? ForwardShape{16, 1, false}
                      : ForwardShape{8, 2, true};
}

int forward_width(int64_t d_in) { return d_in % 4 == 0 ? 4 : 1; }

using Kernel = void (*)(ForwardInputs, ForwardOutputs);

template <typename Element, int Width>
Kernel forward_kernel_of(int64_t k) {
    const ForwardShape shape = forward_shape(k);
    return shape.again        ? forward_kernel<Element, Width, 8, 2, true>
           : shape.slots == 2 ? forward_kernel<Element, Width, 2, 8, false>
           : shape.slots == 4 ? forward_kernel<Element, Width, 4, 4, false>
           : shape.slots == 8 ? forward_kernel<Element, Width, 8, 2, false>
                              : forward_kernel<Element, Width, 16, 1, false>;
}

template <typename Element>
Kernel forward_kernel_of(const ForwardInputs &in) {
    return forward_width(in.d_in) == 4 ? forward_kernel_of<Element, 4>(in.k) : forward_kernel_of<Element, 1>(in.k);
}

} // namespace

int64_t forward_slices(int64_t d_in, int64_t k) {
    return divide_up(d_in, kWarp * forward_width(d_in) * forward_shape(k).chunks);
}

cudaError_t launch_forward(const ForwardInputs &in, const ForwardOutputs &out, cudaStream_t stream) {
    const Kernel kernel = in.w_dec.bf16 ? forward_kernel_of<Bf16>(in) : forward_kernel_of<float>(in);
    return launch(kernel, in.rows * in.slices, stream, in, out);
}

} // namespace sae::cuda
