/*
 * row_update.cu: from the latents' lists to new weights in one pass: gradients in registers, projection, Adam, norm.
 *
 *   dW_dec[j] = sum over latent j's list of z g[row];  dW_enc[j] = the same of dz input[row];  db_enc[j] = sum of dz
 *   a dead latent's list is empty; its gradients come as dense rows (aux_dense.cu)
 *   then as in adam.cu: clip, decoder norm and projection, Adam, decoder norm
 *   through[i] = sum_j db_enc[j] W_enc[j, i]   (b_dec's gradient through the encoder; W_enc before the update)
 *
 * in:  lists (lists.cu), g and input float32 or bf16 [rows, d_in], dense float32 [latents, d_in], StepSums
 * in and out: W_enc, W_dec float32 [d_sae, d_in], b_enc, their moments (float32, or bfloat16 rounded stochastically)
 * out: by_group double [3, groups]: squares of the gradients, of the new W_enc, of the new W_dec;
 *      through float32 [groups, d_in]; the bf16 copies of the new weights, if any,
 *      and the bounds of the new W_enc per latent (shadow.cu)
 * norm_only: writes only the squares of the gradients and `through`. It runs before the update if the bound on the norm
 * (decide.cuh) does not rule out clipping, and exits at once otherwise.
 * One launch handles the live latents; the dead ones follow, one part of the dense rows at a time, adding to the sums
 * by group.
 *
 * Bytes: 8 d_in gathered per entry (L2), 4 in bf16; per parameter 12 read + 12 written in HBM (8 + 8 with bfloat16
 * moments) and 2 written for a copy in bf16; the gradient never leaves the registers. Parameters and moments are
 * streamed past L2, which keeps g and input.
 * A latent's W, m and v of both matrices are on their way to shared memory while its lists are added up (row_copies.cuh),
 * where each matrix's were asked for once its gradient was complete. Rows of g and input stay as they are stored until
 * they are used, and a warp looks up 32 of them at a time.
 * Launch: a block of 256 threads per group of latents, one after the other; a thread has Chunks chunks of Width
 * columns. 2 KiB shared memory, and 24 KiB per chunk of 4 columns (one matrix at a time for 8 chunks: 96 KiB).
 * Deterministic: lists in row order, group sums in a fixed tree. Counts are in docs/gpu.md. Not measured on a GPU yet.
 * Over 400 lines: one kernel and its launch, with what each part of it holds and why.
 */
#include "row_update.h"

#include <algorithm>
#include <type_traits>

#include "../device/reduce.cuh"
#include "../device/row_sums.cuh"
#include "../device/vectors.cuh"
#include "../encode/rounding.cuh"
#include "adam_step.cuh"
#include "lists.h"
#include "row_copies.cuh"
#include "step_state.h"

namespace sae::cuda {
namespace {

template <typename Moment, typename Element, int Width, int Chunks>
struct LatentUpdate {
    using Columns = float[Chunks][Width];
    using Copies = RowCopies<Moment, Width, Chunks>;
    /* Rows in flight: at most 64 bytes a chunk of 4 columns. */
    static constexpr int kUnroll = (Chunks >= 8 ? 1 : Chunks >= 4 ? 2 : 4) * (sizeof(Element) == sizeof(float) ? 1 : 2);
    static constexpr int kEncoderPlace = Copies::kRows - 1;

    const RowUpdate &u;
    const Copies copies;
    int64_t first_column;
    double squares = 0.0;
    double encoder_squares = 0.0;
    double decoder_squares = 0.0;

    __device__ inline LatentUpdate(const RowUpdate &update, unsigned char *shared)
        : u(update), copies(shared, update.d_in), first_column(static_cast<int64_t>(threadIdx.x) * Width) {}

    __device__ inline int64_t column(int chunk) const { return first_column + chunk * kThreads * Width; }

    /* Beyond d_in 0. */
    __device__ inline void read(const float *row, Columns &into) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            clear(into[chunk]);
            if (column(chunk) < u.d_in) {
                load(row + column(chunk), into[chunk]);
            }
        }
    }

    __device__ inline void read_weights(int place, const RowOf<Moment> &row, Columns &into) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            clear(into[chunk]);
            if (column(chunk) < u.d_in) {
                copies.read_weights(place, chunk, row, into[chunk]);
            }
        }
    }

    __device__ inline static void clear(float (&values)[Width]) {
#pragma unroll
        for (float &value : values) {
            value = 0.0f;
        }
    }

    /* Head, whole stretches, tail. */
    __device__ inline void sum_list(int64_t latent, const float *weights, const float *stretches,
                                    const Gathered &source, Columns &sum, float &bias) const {
        const int64_t begin = u.offsets[latent];
        const int64_t end = u.offsets[latent + 1];
        const int64_t aligned = (begin + kStretch - 1) / kStretch * kStretch;
        const int64_t head_end = aligned < end ? aligned : end;
        add_rows<Element, Width, Chunks, kUnroll>(u.lists.rows, weights, begin, head_end, source, u.d_in, first_column,
                                                  sum, bias);
        int64_t at = head_end;
        for (; at + kStretch <= end; at += kStretch) {
            const int64_t stretch = at / kStretch;
            Columns part;
            read(stretches + stretch * u.d_in, part);
            bias += u.lists.bias[stretch];
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int i = 0; i < Width; i++) {
                    sum[chunk][i] += part[chunk][i];
                }
            }
        }
        add_rows<Element, Width, Chunks, kUnroll>(u.lists.rows, weights, at, end, source, u.d_in, first_column, sum,
                                                  bias);
    }

    /* A thread's part of <a, b>. */
    __device__ inline static double product_of(const Columns &a, const Columns &b) {
        double sum = 0.0;
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                sum += static_cast<double>(a[chunk][at]) * b[chunk][at];
            }
        }
        return sum;
    }
    __device__ inline static double squares_of(const Columns &values) { return product_of(values, values); }

    __device__ inline static void multiply(Columns &values, float factor) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                values[chunk][at] *= factor;
            }
        }
    }

    /* weights = Adam's step from weights with this gradient; the moments are read and written. */
    __device__ inline void adam(int place, const RowOf<Moment> &row, const AdamScalars &scalars,
                                const Columns &gradient, Columns &weights) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            const int64_t at = column(chunk);
            if (at < u.d_in) {
                float m[Width];
                float v[Width];
                copies.read_moments(place, chunk, row, m, v);
#pragma unroll
                for (int i = 0; i < Width; i++) {
                    weights[chunk][i] = scalars.step(weights[chunk][i], gradient[chunk][i], m[i], v[i]);
                }
                put_moments(row.first + at, row.second + at, m, v, row.seed, row.start + at);
            }
        }
    }

    __device__ inline void write(float *row, const Columns &weights) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            if (column(chunk) < u.d_in) {
                store_stream(row + column(chunk), weights[chunk]);
            }
        }
    }

    /* The same in bf16. */
    __device__ inline void write_rounded(uint16_t *row, const Columns &weights) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            if (column(chunk) < u.d_in) {
                store_rounded(row + column(chunk), weights[chunk]);
            }
        }
    }

    /* W_enc's copy, and its bounds for the screen. Halves without precision=bf16 (rounding.cuh). */
    __device__ inline void write_shadow(int64_t latent, const Columns &weights) const {
        constexpr Narrow kFormat = std::is_same_v<Element, Bf16> ? Narrow::kBf16 : Narrow::kHalf;
        uint16_t *row = u.shadow.rounded + latent * u.shadow.depth;
        Rounding<kFormat> sums;
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            uint16_t rounded[Width];
#pragma unroll
            for (int at = 0; at < Width; at++) {
                rounded[at] = sums.add(weights[chunk][at]); // 0 beyond d_in
            }
            if (column(chunk) < u.d_in) {
                store_narrow(row + column(chunk), rounded);
            }
        }
        double about[2] = {sums.rounded, sums.error};
        block_sums(about);
        if (threadIdx.x == 0) {
            sums.rounded = about[0];
            sums.error = about[1];
            u.shadow.latents[latent] = latent_bound(sums, u.b_enc.weights[latent]);
        }
    }

    __device__ inline RowOf<Moment> decoder_row(int64_t latent) const {
        return RowOf<Moment>(u.decoder, latent, u.d_in, u.sums->decoder_seed);
    }
    __device__ inline RowOf<Moment> encoder_row(int64_t latent) const {
        return RowOf<Moment>(u.encoder, latent, u.d_in, u.sums->encoder_seed);
    }

    /* The latent's rows are on their way before its gradients are added up; with room for one only, one by one. */
    __device__ inline void update(int64_t latent, int64_t dense_row, const AdamScalars &scalars, Columns &through) {
        const bool both = u.train_decoder && !u.norm_only;
        if (both) {
            copies.start(0, decoder_row(latent), true);
        }
        if (Copies::kRows == 2 || !both) {
            copies.start(kEncoderPlace, encoder_row(latent), !u.norm_only);
        }
        if (u.train_decoder) {
            decoder(latent, dense_row, scalars);
        }
        if (Copies::kRows == 1 && both) {
            copies.start(kEncoderPlace, encoder_row(latent), true);
        }
        encoder(latent, dense_row, scalars, through);
    }

    __device__ inline void decoder(int64_t latent, int64_t dense_row, const AdamScalars &scalars) {
        Columns gradient = {};
        float ignored = 0.0f;
        if (dense_row < 0) {
            sum_list(latent, u.lists.z, u.lists.by_z, u.gradient, gradient, ignored);
        } else {
            read(u.dense.by_z + dense_row * u.d_in, gradient);
        }
        squares += squares_of(gradient);
        if (u.norm_only) {
            return;
        }
        const RowOf<Moment> row = decoder_row(latent);
        copies.template wait<Copies::kRows - 1>();
        Columns weights;
        read_weights(0, row, weights);
        multiply(gradient, scalars.clip);
        double about[2] = {squares_of(weights), product_of(gradient, weights)};
        block_sums(about);
        const bool unit = u.adam.decoder_norm == SAE_DECODER_NORM_BEFORE_STEP && about[0] > 0.0;
        const auto scale = static_cast<float>(unit ? 1.0 / sqrt(about[0]) : 1.0);
        /* <g, w'> w' / |w'|^2 = <g, w> w / |w|^2, whatever the norm of w' */
        const auto along = static_cast<float>(u.adam.project_gradient && about[0] > 0.0 ? about[1] / about[0] : 0.0);
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                gradient[chunk][at] = fmaf(-along, weights[chunk][at], gradient[chunk][at]);
                weights[chunk][at] *= scale;
            }
        }
        adam(0, row, scalars, gradient, weights);
        double after[1] = {squares_of(weights)};
        if (u.adam.decoder_norm == SAE_DECODER_NORM_AFTER_STEP) {
            block_sums(after);
            multiply(weights, static_cast<float>(after[0] > 0.0 ? 1.0 / sqrt(after[0]) : 1.0));
            after[0] = squares_of(weights);
        }
        decoder_squares += after[0];
        write(row.weights, weights);
        if (u.rounded_decoder != nullptr) {
            write_rounded(u.rounded_decoder + latent * u.shadow.depth, weights);
        }
    }

    __device__ inline void encoder(int64_t latent, int64_t dense_row, const AdamScalars &scalars, Columns &through) {
        Columns gradient = {};
        float bias = 0.0f;
        if (dense_row < 0) {
            sum_list(latent, u.lists.dz, u.lists.by_dz, u.input, gradient, bias);
        } else {
            read(u.dense.by_dz + dense_row * u.d_in, gradient);
            bias = u.dense.bias[dense_row];
        }
        squares += squares_of(gradient);
        squares += threadIdx.x == 0 && u.train_b_enc ? static_cast<double>(bias) * bias : 0.0;
        const RowOf<Moment> row = encoder_row(latent);
        copies.template wait<0>();
        Columns weights;
        read_weights(kEncoderPlace, row, weights);
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                through[chunk][at] = fmaf(bias, weights[chunk][at], through[chunk][at]);
            }
        }
        if (u.norm_only) {
            return;
        }
        multiply(gradient, scalars.clip);
        adam(kEncoderPlace, row, scalars, gradient, weights);
        encoder_squares += squares_of(weights);
        write(row.weights, weights);
        if (threadIdx.x == 0 && u.train_b_enc) {
            u.b_enc.weights[latent] =
                scalars.step(u.b_enc.weights[latent], scalars.clip * bias, static_cast<float *>(u.b_enc.first)[latent],
                             static_cast<float *>(u.b_enc.second)[latent]);
        }
        if (u.shadow.rounded != nullptr) {
            write_shadow(latent, weights);
        }
    }
};

template <typename Moment, typename Element, int Width, int Chunks>
__global__ void __launch_bounds__(kThreads) row_update_kernel(RowUpdate u) {
    if (u.status->bad_row != kNoBadRow || (u.norm_only && u.sums->needs_norm == 0)) {
        return;
    }
    const AdamScalars scalars(u.adam, *u.sums);
    SAE_DYNAMIC_SHARED(shared);
    LatentUpdate<Moment, Element, Width, Chunks> update(u, shared);
    float through[Chunks][Width] = {};
    const int64_t first = static_cast<int64_t>(blockIdx.x) * u.group;
    const bool dead_ones = u.dense.count != nullptr;
    const int64_t count = dead_ones ? *u.dense.count : u.d_sae;
    const int64_t end = first + u.group < count ? first + u.group : count;
    if (first >= end) {
        return; // the grid covers the largest possible number of dead latents
    }
    for (int64_t i = first; i < end; i++) {
        const int64_t latent = dead_ones ? u.dense.latents[i] : i;
        if (!dead_ones && u.dead_rank != nullptr && u.dead_rank[latent] >= 0) {
            continue; // dead: updated in a later launch
        }
        update.update(latent, dead_ones ? i : -1, scalars, through);
    }
#pragma unroll
    for (int chunk = 0; chunk < Chunks; chunk++) {
        for (int at = 0; at < Width && update.column(chunk) < u.d_in; at++) {
            float &sum = u.through[blockIdx.x * u.d_in + update.column(chunk) + at];
            sum = dead_ones ? sum + through[chunk][at] : through[chunk][at];
        }
    }
    double squares[3] = {update.squares, update.encoder_squares, update.decoder_squares};
    block_sums(squares);
    if (threadIdx.x == 0) {
        for (int which = 0; which < 3; which++) {
            double &sum = u.by_group[which * u.groups + blockIdx.x];
            sum = dead_ones ? sum + squares[which] : squares[which];
        }
    }
}

struct Kernel {
    void (*run)(RowUpdate);
    int shared_bytes;
};

template <typename Moment, typename Element, int Width, int Chunks>
constexpr Kernel kKernel{row_update_kernel<Moment, Element, Width, Chunks>, RowCopies<Moment, Width, Chunks>::kBytes};

template <typename Moment, typename Element>
Kernel kernel_of(int64_t d_in) {
    const int64_t chunks = divide_up(d_in, d_in % 4 == 0 ? 4 * kThreads : kThreads);
    if (d_in % 4 == 0) {
        return chunks <= 1   ? kKernel<Moment, Element, 4, 1>
               : chunks <= 2 ? kKernel<Moment, Element, 4, 2>
               : chunks <= 3 ? kKernel<Moment, Element, 4, 3>
               : chunks <= 4 ? kKernel<Moment, Element, 4, 4>
               : chunks <= 8 ? kKernel<Moment, Element, 4, 8>
                             : Kernel{};
    }
    return chunks <= 1   ? kKernel<Moment, Element, 1, 1>
           : chunks <= 2 ? kKernel<Moment, Element, 1, 2>
           : chunks <= 8 ? kKernel<Moment, Element, 1, 8>
                         : Kernel{};
}

template <typename Moment>
Kernel kernel_of(const RowUpdate &update) {
    return update.input.bf16 ? kernel_of<Moment, Bf16>(update.d_in) : kernel_of<Moment, float>(update.d_in);
}

constexpr int64_t kLeastGroup = 8;
constexpr int64_t kMostGroups = 8192; // bounds the size of `through`

} // namespace

bool row_update_fits(int64_t d_in) { return kernel_of<float, float>(d_in).run != nullptr; }

int64_t row_update_group(int64_t d_sae) { return std::max(kLeastGroup, divide_up(d_sae, kMostGroups)); }

cudaError_t launch_row_update(const RowUpdate &update, bool bf16_moments, int64_t most_rows, cudaStream_t stream) {
    const Kernel kernel = bf16_moments ? kernel_of<Bf16>(update) : kernel_of<float>(update);
    const cudaError_t error =
        cudaFuncSetAttribute(kernel.run, cudaFuncAttributeMaxDynamicSharedMemorySize, kernel.shared_bytes);
    return error != cudaSuccess ? error
                                : launch({divide_up(most_rows, update.group), kThreads, kernel.shared_bytes, 1},
                                         kernel.run, stream, update);
}

} // namespace sae::cuda
