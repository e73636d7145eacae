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
 * (step_sums.cu) does not rule out clipping, and exits at once otherwise.
 * One launch handles the live latents; the dead ones follow, one part of the dense rows at a time, adding to the sums
 * by group.
 *
 * Bytes: 8 d_in gathered per entry (L2), 4 in bf16; per parameter 12 read + 12 written in HBM (8 + 8 with bfloat16
 * moments) and 2 written for a copy in bf16; the gradient never leaves the registers. Parameters and moments are
 * streamed past L2, which keeps g and input.
 * Launch: a block of 256 threads per group of latents, one after the other; a thread has Chunks chunks of Width
 * columns. 0.7 KiB shared memory; ptxas 13.0 spills up to 56 bytes in some shapes. Not measured on a GPU yet.
 * Deterministic: lists in row order, group sums in a fixed tree.
 */
#include "row_update.h"

#include <algorithm>
#include <type_traits>

#include "../device/reduce.cuh"
#include "../device/row_sums.cuh"
#include "../device/vectors.cuh"
#include "../encode/rounding.cuh"
#include "lists.h"
#include "step_state.h"

namespace sae::cuda {
namespace {

/* Adam's numbers of this step in float32. */
struct AdamScalars {
    float beta1, rest1, beta2, rest2, step_size, second_correction, eps, clip;

    __device__ inline AdamScalars(const AdamOptions &options, const StepSums &sums)
        : beta1(static_cast<float>(options.beta1)), rest1(static_cast<float>(1.0 - options.beta1)),
          beta2(static_cast<float>(options.beta2)), rest2(static_cast<float>(1.0 - options.beta2)),
          step_size(static_cast<float>(sums.step_size)), second_correction(static_cast<float>(sums.second_correction)),
          eps(static_cast<float>(options.eps)), clip(static_cast<float>(sums.clip)) {}

    __device__ inline float step(float parameter, float gradient, float &first, float &second) const {
        first = fmaf(beta1, first, rest1 * gradient);
        second = fmaf(beta2, second, rest2 * gradient * gradient);
        return parameter - step_size * first / (sqrtf(second) * second_correction + eps);
    }
};

/* One row of a weight matrix and its moments. */
template <typename Moment>
struct RowOf {
    float *weights;
    Moment *first;
    Moment *second;
    int64_t start; // element of the matrix
    uint32_t seed;

    __device__ inline RowOf(const MatrixState &matrix, int64_t latent, int64_t d_in, uint32_t seed_)
        : weights(matrix.weights + latent * d_in), first(static_cast<Moment *>(matrix.first) + latent * d_in),
          second(static_cast<Moment *>(matrix.second) + latent * d_in), start(latent * d_in), seed(seed_) {}
};

template <typename Moment, typename Element, int Width, int Chunks>
struct LatentUpdate {
    using Columns = float[Chunks][Width];
    static constexpr int kUnroll = Chunks >= 8 ? 1 : Chunks >= 4 ? 2 : 4;

    const RowUpdate &u;
    int64_t first_column;
    double squares = 0.0;
    double encoder_squares = 0.0;
    double decoder_squares = 0.0;

    __device__ inline explicit LatentUpdate(const RowUpdate &update)
        : u(update), first_column(static_cast<int64_t>(threadIdx.x) * Width) {}

    __device__ inline int64_t column(int chunk) const { return first_column + chunk * kThreads * Width; }

    template <bool Stream = false>
    __device__ inline void read(const float *row, Columns &into) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            if (column(chunk) < u.d_in) {
                load_as<Stream>(row + column(chunk), into[chunk]);
            } else {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    into[chunk][at] = 0.0f;
                }
            }
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

    __device__ inline void count_squares(const Columns &gradient) {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                squares += static_cast<double>(gradient[chunk][at]) * gradient[chunk][at];
            }
        }
    }

    /* weights = Adam's step from weights with this gradient; the moments are read and written. */
    __device__ inline void adam(const RowOf<Moment> &row, const AdamScalars &scalars, const Columns &gradient,
                                Columns &weights) const {
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
            const int64_t at = column(chunk);
            if (at < u.d_in) {
                float m[Width];
                float v[Width];
                load_stream(row.first + at, m);
                load_stream(row.second + at, v);
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

    __device__ inline void decoder(int64_t latent, int64_t dense_row, const AdamScalars &scalars, bool norm_only) {
        Columns gradient = {};
        float ignored = 0.0f;
        if (dense_row < 0) {
            sum_list(latent, u.lists.z, u.lists.by_z, u.gradient, gradient, ignored);
        } else {
            read(u.dense.by_z + dense_row * u.d_in, gradient);
        }
        count_squares(gradient);
        if (norm_only) {
            return;
        }
        const RowOf<Moment> row(u.decoder, latent, u.d_in, u.sums->decoder_seed);
        Columns weights;
        read<true>(row.weights, weights);
        double about[2] = {}; // |w|^2 and <g, w>
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                gradient[chunk][at] *= scalars.clip;
                about[0] += static_cast<double>(weights[chunk][at]) * weights[chunk][at];
                about[1] += static_cast<double>(gradient[chunk][at]) * weights[chunk][at];
            }
        }
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
        adam(row, scalars, gradient, weights);
        double after[1] = {};
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                after[0] += static_cast<double>(weights[chunk][at]) * weights[chunk][at];
            }
        }
        if (u.adam.decoder_norm == SAE_DECODER_NORM_AFTER_STEP) {
            block_sums(after);
            const auto to_unit = static_cast<float>(after[0] > 0.0 ? 1.0 / sqrt(after[0]) : 1.0);
            after[0] = 0.0;
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
                for (int at = 0; at < Width; at++) {
                    weights[chunk][at] *= to_unit;
                    after[0] += static_cast<double>(weights[chunk][at]) * weights[chunk][at];
                }
            }
        }
        decoder_squares += after[0];
        write(row.weights, weights);
        if (u.rounded_decoder != nullptr) {
            write_rounded(u.rounded_decoder + latent * u.shadow.depth, weights);
        }
    }

    __device__ inline void encoder(int64_t latent, int64_t dense_row, const AdamScalars &scalars, bool norm_only,
                                   Columns &through) {
        Columns gradient = {};
        float bias = 0.0f;
        if (dense_row < 0) {
            sum_list(latent, u.lists.dz, u.lists.by_dz, u.input, gradient, bias);
        } else {
            read(u.dense.by_dz + dense_row * u.d_in, gradient);
            bias = u.dense.bias[dense_row];
        }
        count_squares(gradient);
        squares += threadIdx.x == 0 && u.train_b_enc ? static_cast<double>(bias) * bias : 0.0;
        const RowOf<Moment> row(u.encoder, latent, u.d_in, u.sums->encoder_seed);
        Columns weights;
        read<true>(row.weights, weights);
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                through[chunk][at] = fmaf(bias, weights[chunk][at], through[chunk][at]);
            }
        }
        if (norm_only) {
            return;
        }
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                gradient[chunk][at] *= scalars.clip;
            }
        }
        adam(row, scalars, gradient, weights);
#pragma unroll
        for (int chunk = 0; chunk < Chunks; chunk++) {
#pragma unroll
            for (int at = 0; at < Width; at++) {
                encoder_squares += static_cast<double>(weights[chunk][at]) * weights[chunk][at];
            }
        }
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
    LatentUpdate<Moment, Element, Width, Chunks> update(u);
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
        const int64_t dense_row = dead_ones ? i : -1;
        if (u.train_decoder) {
            update.decoder(latent, dense_row, scalars, u.norm_only);
        }
        update.encoder(latent, dense_row, scalars, u.norm_only, through);
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

using Kernel = void (*)(RowUpdate);

template <typename Moment, typename Element>
Kernel kernel_of(int64_t d_in) {
    const int64_t chunks = divide_up(d_in, d_in % 4 == 0 ? 4 * kThreads : kThreads);
    if (d_in % 4 == 0) {
        return chunks <= 1   ? row_update_kernel<Moment, Element, 4, 1>
               : chunks <= 2 ? row_update_kernel<Moment, Element, 4, 2>
               : chunks <= 3 ? row_update_kernel<Moment, Element, 4, 3>
               : chunks <= 4 ? row_update_kernel<Moment, Element, 4, 4>
               : chunks <= 8 ? row_update_kernel<Moment, Element, 4, 8>
                             : nullptr;
    }
    return chunks <= 1   ? row_update_kernel<Moment, Element, 1, 1>
           : chunks <= 2 ? row_update_kernel<Moment, Element, 1, 2>
           : chunks <= 8 ? row_update_kernel<Moment, Element, 1, 8>
                         : nullptr;
}

template <typename Moment>
Kernel kernel_of(const RowUpdate &update) {
    return update.input.bf16 ? kernel_of<Moment, Bf16>(update.d_in) : kernel_of<Moment, float>(update.d_in);
}

constexpr int64_t kLeastGroup = 8;
constexpr int64_t kMostGroups = 8192; // bounds the size of `through`

} // namespace

bool row_update_fits(int64_t d_in) { return kernel_of<float, float>(d_in) != nullptr; }

int64_t row_update_group(int64_t d_sae) { return std::max(kLeastGroup, divide_up(d_sae, kMostGroups)); }

cudaError_t launch_row_update(const RowUpdate &update, bool bf16_moments, int64_t most_rows, cudaStream_t stream) {
    const Kernel kernel = bf16_moments ? kernel_of<Bf16>(update) : kernel_of<float>(update);
    return launch(kernel, divide_up(most_rows, update.group), stream, update);
}

} // namespace sae::cuda
