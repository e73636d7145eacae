/*
 * forward.cu: decode, error, output gradient and the latents' gradient in one pass over the decoder rows of a batch row.
 *
 *   e[b]     = sum_s z[b, s] W_dec[j(b, s)] + b_dec - x[b]
 *   r[b]     = a[b] + e[b]                         a = z_aux W_dec, only if there are dead latents
 *   ga[b]    = aux_scale share r[b]                (the scales are in StepSums: batch.cu; the share is n_dead's)
 *   g[b]     = error_scale e[b] + (detach ? 0 : ga[b])
 *   dz[b, s] = <g[b], W_dec[j(b, s)]>              where z[b, s] > 0
 *
 * in:  indices int32, values float32 [rows, k], values descending; W_dec float32 or bf16 [d_sae, d_in]; b_dec float32
 *      [d_in]; x, a float32 [rows, d_in]
 * out: g float32 [rows, d_in], also in bf16 where wanted; ga replaces a;
 *      dz_parts float32 [slices, rows, k]: each column slice's part of dz, to be added in slice order;
 *      squares double [3, slices rows]: of e, r and g by block
 *
 * How: columns are cut into slices. A warp holds the slice of its slots' rows in registers, as they are stored, Slots x
 * Chunks chunks of Width columns per lane (8 columns of bf16, 4 of float32), so a decoder row is read once for both uses;
 * the slices of a row do not communicate. A slot belongs to warp slot % 8; a lane looks up a slot's value and index.
 * More slots than registers hold (k > 128): the rows are read a second time for dz. What else a column needs (x, b_dec,
 * a, scales) is read along with the rows, not after the barrier behind them.
 * Bytes: 4 rows k d_in gathered (2 in bf16; twice that if read again) + 8 rows d_in streamed (12 with dead latents)
 *        + 4 slices rows k; 4 rows k d_in FLOP.
 * Launch: a block of 256 threads per row and slice, slices outermost: L2 has to hold one slice of W_dec,
 * 4 (2) d_sae (slice width) bytes. Shared memory: 32 Width Chunks x 8 floats, at most 33 KiB. Three blocks fit a
 * multiprocessor with bf16 and k <= 64 or k > 128, two otherwise; before, two. With 64 < k <= 128 (8B) a slice of bf16
 * is 256 columns wide, before 128: half the blocks and half of dz_parts.
 * Counts for sm_90a before and after are in docs/gpu.md.
 * Deterministic: sums over slots, warps and lanes in a fixed order. Not measured on a GPU yet; considered but not
 * built: rows kept in shared memory with a cluster per batch row (needs an exchange over the cluster for dz).
 */
#include "forward.h"

#include <algorithm>

#include "../device/bf16_bits.h"
#include "../device/reduce.cuh"
#include "../device/tensor_core.cuh"
#include "../device/vectors.cuh"
#include "../train/step_numbers.cuh"

namespace sae::cuda {
namespace {

constexpr unsigned kFullWarp = 0xFFFFFFFFu;

/* One warp's share of its slots' decoder rows. A slot's value and index are in lane i of the warp. */
template <typename Element, int Width, int Slots, int Chunks>
struct HeldRows {
    Packed<Element, Width> weights[Slots][Chunks];
    float value;

    __device__ inline void read(const ForwardInputs &in, int64_t row, int64_t first_slot, int64_t first_column,
                                int64_t end_column, int lane) {
        const int64_t own = first_slot + lane * kWarps;
        const bool there = lane < Slots && own < in.k;
        value = there ? in.values[row * in.k + own] : 0.0f;
        const int index = there ? in.indices[row * in.k + own] : 0;
#pragma unroll
        for (int i = 0; i < Slots; i++) {
            const bool kept = __shfl_sync(kFullWarp, value, i) > 0.0f;
            const Element *direction = gathered_row<Element>(in.w_dec, __shfl_sync(kFullWarp, index, i));
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
                const int64_t column = first_column + (chunk * kWarp + lane) * Width;
                weights[i][chunk] = {};
                if (kept && column < end_column) {
                    weights[i][chunk].load(direction + column);
                }
            }
        }
    }

    __device__ inline void add_to(float (&sum)[Chunks][Width]) const {
#pragma unroll
        for (int i = 0; i < Slots; i++) {
            const float z = __shfl_sync(kFullWarp, value, i);
            const float factor = z > 0.0f ? z : 0.0f;
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    sum[chunk][at] = fmaf(factor, weights[i][chunk].at(at), sum[chunk][at]);
                }
            }
        }
    }

    /* Otherwise the compiler keeps the widened rows from one use to the next, in more registers than there are. */
    __device__ inline void stay_packed() {
#pragma unroll
        for (int i = 0; i < Slots; i++) {
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
                for (uint32_t &word : weights[i][chunk].words) {
                    ptx::forget(word);
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
                    dots[i] = fmaf(gradient[chunk][at], weights[i][chunk].at(at), dots[i]);
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

/* What a thread needs of its columns once the rows are added up: read along with the rows. */
template <int Each>
struct Targets {
    float minus[Each]; // b_dec - x
    float aux[Each];   // z_aux W_dec
    bool any_dead;
    float error_scale;
    float aux_scale;

    __device__ inline Targets(const ForwardInputs &in, const float *aux_gradient, int64_t row, int64_t first_column,
                              int64_t end_column)
        : any_dead(in.n_dead != nullptr && *in.n_dead > 0), error_scale(static_cast<float>(in.sums->error_scale)),
          aux_scale(any_dead ? static_cast<float>(in.sums->aux_scale * aux_share(in.loss, *in.n_dead)) : 0.0f) {
#pragma unroll
        for (int i = 0; i < Each; i++) {
            const int64_t column = first_column + i * kThreads + threadIdx.x;
            const bool inside = column < end_column;
            const int64_t element = row * in.d_in + column;
            minus[i] = inside ? in.b_dec[column] - in.x[element] : 0.0f;
            aux[i] = inside && any_dead ? aux_gradient[element] : 0.0f;
        }
    }
};

/* Blocks that fit a multiprocessor, by the registers that hold rows. */
constexpr int blocks_per_sm(int words) { return words <= 32 ? 3 : 2; }

/* Again: more slots than Slots * kWarps, whose rows are read once for each use. */
template <typename Element, int Width, int Slots, int Chunks, bool Again>
__global__ void __launch_bounds__(kThreads, blocks_per_sm(Slots *Chunks *Packed<Element, Width>::kWords))
    forward_kernel(ForwardInputs in, ForwardOutputs out) {
    constexpr int kColumns = kWarp * Chunks * Width; // of a slice
    constexpr int kEach = kColumns > kThreads ? kColumns / kThreads : 1;
    alignas(16) __shared__ float partial[kWarps][kColumns]; // by warp; afterwards [0] is g
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kWarp;
    const int warp = thread / kWarp;
    const int64_t row = blockIdx.x % in.rows;
    const int64_t slice = blockIdx.x / in.rows;
    const int64_t first_column = slice * kColumns;
    const int64_t end_column = first_column + kColumns < in.d_in ? first_column + kColumns : in.d_in;
    const int64_t batches = Again ? (in.k + Slots * kWarps - 1) / (Slots * kWarps) : 1;

    const Targets<kEach> targets(in, out.aux_gradient, row, first_column, end_column);
    HeldRows<Element, Width, Slots, Chunks> held;
    float mine[Chunks][Width] = {};
    for (int64_t batch = 0; batch < batches; batch++) {
        held.read(in, row, batch * Slots * kWarps + warp, first_column, end_column, lane);
        held.add_to(mine);
        held.stay_packed();
    }
#pragma unroll
    for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
        for (int at = 0; at < Width; at++) {
            partial[warp][(chunk * kWarp + lane) * Width + at] = mine[chunk][at];
        }
    }
    __syncthreads();

    double squares[3] = {}; // of e, r and g
#pragma unroll
    for (int i = 0; i < kEach; i++) {
        const int at = i * kThreads + thread;
        if (at >= kColumns) {
            break;
        }
        const int64_t column = first_column + at;
        float gradient = 0.0f;
        if (column < end_column) {
            float sum = 0.0f;
            for (int of = 0; of < kWarps; of++) {
                sum += partial[of][at];
            }
            const int64_t element = row * in.d_in + column;
            const float error = sum + targets.minus[i];
            gradient = targets.error_scale * error;
            squares[0] += static_cast<double>(error) * error;
            if (targets.any_dead) {
                const float residual = targets.aux[i] + error;
                const float through_aux = targets.aux_scale * residual;
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

/* A warp's rows, by k: Slots x Chunks is 16, with 8 columns of bf16 to a chunk 8 (32 registers) unless there are 16 slots. */
struct ForwardShape {
    int slots;
    int chunks;
    bool again;
};

ForwardShape forward_shape(int64_t k, int width) {
    const bool again = k > 16 * kWarps;
    const int slots = k <= 2 * kWarps ? 2 : k <= 4 * kWarps ? 4 : k <= 8 * kWarps || again ? 8 : 16;
    return {slots, std::max(1, (width == 8 ? 8 : 16) / slots), again};
}

int forward_width(int64_t d_in, bool bf16) { return bf16 && d_in % 8 == 0 ? 8 : d_in % 4 == 0 ? 4 : 1; }

using Kernel = void (*)(ForwardInputs, ForwardOutputs);

template <typename Element, int Width>
Kernel forward_kernel_of(int64_t k) {
    constexpr int kChunks = Width == 8 ? 8 : 16; // of one slot
    const ForwardShape shape = forward_shape(k, Width);
    return shape.again        ? forward_kernel<Element, Width, 8, kChunks / 8, true>
           : shape.slots == 2 ? forward_kernel<Element, Width, 2, kChunks / 2, false>
           : shape.slots == 4 ? forward_kernel<Element, Width, 4, kChunks / 4, false>
           : shape.slots == 8 ? forward_kernel<Element, Width, 8, kChunks / 8, false>
                              : forward_kernel<Element, Width, 16, 1, false>;
}

Kernel forward_kernel_of(const ForwardInputs &in) {
    const int width = forward_width(in.d_in, in.w_dec.bf16);
    if (in.w_dec.bf16) {
        return width == 8   ? forward_kernel_of<Bf16, 8>(in.k)
               : width == 4 ? forward_kernel_of<Bf16, 4>(in.k)
                            : forward_kernel_of<Bf16, 1>(in.k);
    }
    return width == 4 ? forward_kernel_of<float, 4>(in.k) : forward_kernel_of<float, 1>(in.k);
}

} // namespace

int64_t forward_slices(int64_t d_in, int64_t k, bool bf16) {
    const int width = forward_width(d_in, bf16);
    return divide_up(d_in, kWarp * width * forward_shape(k, width).chunks);
}

cudaError_t launch_forward(const ForwardInputs &in, const ForwardOutputs &out, cudaStream_t stream) {
    return launch(forward_kernel_of(in), in.rows * in.slices, stream, in, out);
}

} // namespace sae::cuda
