/*
 * finish.cu: what is known once every latent has its gradient, or its update: b_dec's gradient and update, the gradient
 * norm, the weights' squares for the next step's bound, and the bounds of the new W_enc by groups of latents.
 *
 *   db_dec[i] = sum_b g[b, i] - sum over groups of through[group, i]     (the second sum where b_dec is subtracted)
 *   norm^2    = sum of by_group's squares + |db_dec|^2
 *   norm_only: the clip factor from the norm, where needs_norm; otherwise
 *   b_dec by Adam's step (adam.cu); the norm for the statistics; |W_enc|^2, |W_dec|^2; the maxima of the bounds over
 *   groups of 256 latents, and over all of them (shadow.h)
 *
 * in:  g float32 [rows, d_in], through float32 [groups, d_in], by_group double [3, groups], bounds of single latents
 * in and out: b_dec and its moments float32 [d_in]; StepSums, StepStatus; weight_squares double [2]
 * out: bounds of groups and of all latents
 * scratch: partials double [finish_scratch(rows, d_in, groups)]; counters
 * Nothing changes if the status has a bad row.
 * One launch, nine before: blocks add kChunk rows of 256 columns each, or find the maxima of a group; the last block of
 * 256 columns adds up their chunks and updates b_dec there, and the last block of all does the rest.
 * Bytes: 4 (rows + groups) d_in read, 1/8 of it written and read again; 12 d_sae read.
 * Launch: a block of 256 threads per group of latents, and per chunk and 256 columns. 2.4 KiB shared memory.
 * Deterministic: chunks of fixed size, added in order, in double; maxima. Not measured on a GPU yet.
 */
#include "finish.h"

#include "../device/last_block.cuh"
#include "../device/reduce.cuh"
#include "adam_step.cuh"
#include "losses.h"
#include "step_numbers.cuh"

namespace sae::cuda {
namespace {

/* How the blocks share the work. */
struct Shares {
    int64_t latent_groups; // blocks that find maxima, first; 0: no bounds wanted
    int64_t column_blocks;
    int64_t row_chunks;
    int64_t chunks; // row_chunks, then those of `through`
};

Shares shares_of(int64_t rows, int64_t d_in, int64_t groups, int64_t latent_groups) {
    const int64_t row_chunks = divide_up(rows, kChunk);
    return {latent_groups, divide_up(d_in, kThreads), row_chunks, row_chunks + divide_up(groups, kChunk)};
}

/* The bits of a bound, the maximum over the block in every thread. Bounds are not negative, so their bits order as they
 * do, and NaN is above all numbers: such a latent is never ruled out. */
__device__ inline uint32_t block_largest(uint32_t bits) {
    __shared__ uint32_t of_warp[kWarps];
    for (int half = kWarp / 2; half > 0; half /= 2) {
        const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, bits, half);
        bits = other > bits ? other : bits;
    }
    if (threadIdx.x % kWarp == 0) {
        of_warp[threadIdx.x / kWarp] = bits;
    }
    __syncthreads();
    for (int warp = 0; warp < kWarps; warp++) {
        bits = of_warp[warp] > bits ? of_warp[warp] : bits;
    }
    __syncthreads(); // the next call overwrites of_warp
    return bits;
}

/* out = maxima of in [0, count) */
__device__ inline void largest_bounds(const LatentBound *in, int64_t count, LatentBound *out) {
    uint32_t largest[3] = {};
    for (int64_t i = threadIdx.x; i < count; i += kThreads) {
        const float bounds[3] = {in[i].error, in[i].length, in[i].fixed};
        for (int which = 0; which < 3; which++) {
            const uint32_t bits = __float_as_uint(bounds[which]);
            largest[which] = bits > largest[which] ? bits : largest[which];
        }
    }
    for (uint32_t &bits : largest) {
        bits = block_largest(bits);
    }
    if (threadIdx.x == 0) {
        *out = {__uint_as_float(largest[0]), __uint_as_float(largest[1]), __uint_as_float(largest[2])};
    }
}

/* partials [chunk, column] = sum over the chunk's rows of a */
__device__ inline void add_chunk(const float *a, int64_t rows, int64_t chunk, int64_t d_in, int64_t column,
                                 double *partial) {
    const int64_t first = chunk * kChunk;
    const int64_t end = first + kChunk < rows ? first + kChunk : rows;
    double sum = 0.0;
#pragma unroll 8
    for (int64_t row = first; row < end; row++) {
        sum += a[row * d_in + column];
    }
    partial[column] = sum;
}

/* The column's gradient, from its chunks. */
__device__ inline float column_gradient(const Finish &f, const Shares &shares, int64_t column) {
    double outputs = 0.0;
#pragma unroll 8
    for (int64_t chunk = 0; chunk < shares.row_chunks; chunk++) {
        outputs += f.partials[chunk * f.d_in + column];
    }
    double through = 0.0;
#pragma unroll 8
    for (int64_t chunk = shares.row_chunks; chunk < shares.chunks; chunk++) {
        through += f.partials[chunk * f.d_in + column];
    }
    return static_cast<float>(outputs - through);
}

__device__ inline void update_b_dec(const Finish &f, int64_t column, float gradient) {
    float &parameter = f.b_dec.weights[column];
    parameter = adam_step(parameter, f.sums->clip * gradient, f.adam, *f.sums, static_cast<float *>(f.b_dec.first),
                          static_cast<float *>(f.b_dec.second), f.sums->encoder_seed, column);
}

/* For the last block. */
__device__ inline void finish_sums(const Finish &f, const double *column_squares, int64_t column_blocks) {
    const double squares = sum_of(f.by_group, f.groups) + sum_of(column_squares, column_blocks);
    if (f.norm_only) {
        if (threadIdx.x == 0) {
            f.sums->clip = clip_factor(f.adam, sqrt(squares));
        }
        return;
    }
    const double encoder = sum_of(f.by_group + f.groups, f.groups);
    const double decoder = sum_of(f.by_group + 2 * f.groups, f.groups);
    if (threadIdx.x == 0) {
        f.status->stats[SAE_STAT_GRADIENT_NORM] = f.adam.clip_norm > 0.0 ? sqrt(squares) : 0.0;
        f.weight_squares[0] = encoder;
        if (f.train_decoder) {
            f.weight_squares[1] = decoder;
        }
    }
}

__global__ void __launch_bounds__(kThreads) finish_kernel(Finish f, Shares shares) {
    if (f.status->bad_row != kNoBadRow || (f.norm_only && f.sums->needs_norm == 0)) {
        return;
    }
    double *column_squares = f.partials + shares.chunks * f.d_in; // [column_blocks]
    if (blockIdx.x < shares.latent_groups) {
        const int64_t first = static_cast<int64_t>(blockIdx.x) * kLatentGroup;
        const int64_t rest = f.shadow.d_sae - first;
        largest_bounds(f.shadow.latents + first, rest < kLatentGroup ? rest : kLatentGroup,
                       f.shadow.groups + blockIdx.x);
    } else {
        const int64_t share = blockIdx.x - shares.latent_groups;
        const int64_t chunk = share / shares.column_blocks;
        const int64_t column_block = share % shares.column_blocks;
        const int64_t column = column_block * kThreads + threadIdx.x;
        if (column < f.d_in) {
            double *partial = f.partials + chunk * f.d_in;
            if (chunk < shares.row_chunks) {
                add_chunk(f.gradient, f.rows, chunk, f.d_in, column, partial);
            } else {
                add_chunk(f.through, f.groups, chunk - shares.row_chunks, f.d_in, column, partial);
            }
        }
        if (!is_last_block(f.arrived + 1 + column_block, shares.chunks)) {
            return;
        }
        const float gradient = column < f.d_in ? column_gradient(f, shares, column) : 0.0f;
        if (column < f.d_in && !f.norm_only) {
            update_b_dec(f, column, gradient);
        }
        const double squares = block_sum(static_cast<double>(gradient) * gradient);
        if (threadIdx.x == 0) {
            column_squares[column_block] = squares;
        }
    }
    if (!is_last_block(f.arrived, shares.latent_groups + shares.column_blocks)) {
        return;
    }
    finish_sums(f, column_squares, shares.column_blocks);
    if (shares.latent_groups > 0) {
        largest_bounds(f.shadow.groups, shares.latent_groups, f.shadow.groups + shares.latent_groups);
    }
}

} // namespace

int64_t finish_scratch(int64_t rows, int64_t d_in, int64_t groups) {
    const Shares shares = shares_of(rows, d_in, groups, 0);
    return shares.chunks * d_in + shares.column_blocks;
}

cudaError_t launch_finish(const Finish &finish, cudaStream_t stream) {
    const int64_t groups = finish.through == nullptr ? 0 : finish.groups;
    const bool bounds = finish.shadow.rounded != nullptr && !finish.norm_only;
    const Shares shares =
        shares_of(finish.rows, finish.d_in, groups, bounds ? divide_up(finish.shadow.d_sae, kLatentGroup) : 0);
    return launch(finish_kernel, shares.latent_groups + shares.chunks * shares.column_blocks, stream, finish, shares);
}

} // namespace sae::cuda
