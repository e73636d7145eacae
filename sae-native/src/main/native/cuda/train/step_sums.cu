/*
 * step_sums.cu: the scalars that steer a fused step; they never leave the device.
 *
 *   begin:   this step's lr, no bad row yet
 *   scales:  variance and input squares from the columns (batch.cu), then error_scale and aux_scale (losses.cu)
 *   decide:  statistics, Adam's scalars, and whether the gradient norm can reach clip_norm:
 *
 *     |dW_dec|^2 <= |Z|^2 |G|^2 + |Z_a|^2 |G_a|^2                  |AB| <= |A||B|; live and dead rows are disjoint
 *     |dW_enc|^2 <= (|dZ|^2 + |G_a|^2 |W_dec|^2) |X|^2             |dZ_a| <= |G_a||W_dec|
 *     |db_enc|^2 <= B (|dZ|^2 + |G_a|^2 |W_dec|^2)                 Cauchy-Schwarz over the rows
 *     |db_dec|   <= sqrt(B) |G| + |db_enc| |W_enc|                 the second term where b_dec is subtracted
 *
 *   (Frobenius norms; G output gradient, a auxiliary, X encoder's input.) While the bound, plus 1 % for rounding, stays
 *   below clip_norm the clip factor is exactly 1 and the update need not wait for the norm. Otherwise needs_norm is set
 *   and a first pass over the rows measures it (row_update.cu).
 *   clip:    the factor from the measured norm, where needs_norm
 *   finish:  the norm for the statistics, and |W_enc|^2, |W_dec|^2 for the next step
 *
 * Launch: one block each. Deterministic: double sums in a fixed tree. Not measured on a GPU yet.
 */
#include "step_sums.h"

#include "../device/condition.cuh"
#include "../device/reduce.cuh"
#include "adam.h"
#include "lists.h"
#include "step_numbers.cuh"
#include "step_state.h"

namespace sae::cuda {
namespace {

__global__ void begin_step_kernel(double lr, StepSums *sums, StepStatus *status) {
    if (threadIdx.x == 0 && sums != nullptr) {
        sums->lr = lr;
    }
    if (threadIdx.x == 0 && status != nullptr) {
        status->bad_row = kNoBadRow;
    }
}

/* sum of values[i], the same in every thread */
template <typename T>
__device__ inline double sum_of(const T *values, int64_t count) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) {
        sum += values[i];
    }
    return block_sum(sum);
}

__device__ inline double squares_of(const float *values, int64_t count) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) {
        sum += static_cast<double>(values[i]) * values[i];
    }
    return block_sum(sum);
}

__global__ void __launch_bounds__(kThreads)
    batch_scales_kernel(LossOptions options, const double *__restrict__ moments, double rows, int64_t d_in,
                        const int *n_dead, StepSums *sums) {
    const double variance = sum_of(moments, d_in);
    const double input = sum_of(moments + d_in, d_in);
    if (threadIdx.x == 0) {
        sums->variance = variance;
        sums->input_squares = input;
        set_scales(options, rows, static_cast<double>(d_in), *n_dead, sums);
    }
}

/* partials [2, kSquareBlocks] */
__global__ void __launch_bounds__(kThreads)
    weight_squares_kernel(const double *__restrict__ partials, double *__restrict__ weight_squares) {
    for (int which = 0; which < 2; which++) {
        const double sum = sum_of(partials + which * kSquareBlocks, kSquareBlocks);
        if (threadIdx.x == 0) {
            weight_squares[which] = sum;
        }
    }
}

struct Collected {
    double error, residual, gradient, z, dz, z_aux;
};

/* An upper bound on the gradient norm. */
__device__ inline double norm_bound(const Collected &squares, const StepSums &sums, const ClipBound &bound) {
    const double aux_gradient = sums.aux_scale * sums.aux_scale * squares.residual;
    const double dz = squares.dz + aux_gradient * bound.weight_squares[1];
    const double decoder = bound.train_decoder ? squares.z * squares.gradient + squares.z_aux * aux_gradient : 0.0;
    const double encoder = dz * sums.input_squares;
    const double b_enc = bound.rows * dz;
    const double b_dec =
        sqrt(bound.rows * squares.gradient) + (bound.subtract_b_dec ? sqrt(b_enc * bound.weight_squares[0]) : 0.0);
    return sqrt(decoder + encoder + (bound.train_b_enc ? b_enc : 0.0) + b_dec * b_dec);
}

__global__ void __launch_bounds__(kThreads)
    decide_kernel(const double *__restrict__ collected, const int64_t *active, const SelectionCounts *counts,
                  const int *n_dead, ClipBound bound, AdamOptions options, StepSums *sums, StepStatus *status,
                  Condition measure_norm) {
    double squares[kCollected];
    for (int which = 0; which < kCollected; which++) {
        squares[which] = sum_of(collected + which * kCollectBlocks, kCollectBlocks);
    }
    if (threadIdx.x != 0) {
        return;
    }
    sums->squared_error = squares[0];
    sums->squared_residual = squares[1];
    sums->active = static_cast<double>(*active);
    set_counts(*counts, sums);
    set_statistics(totals(*sums), 1.0, bound.rows, *n_dead, status);
    sums->needs_norm = 0;
    set_condition(measure_norm, false);
    if (!begin_update(options, sums, status)) {
        return;
    }
    sums->clip = 1.0;
    const Collected of{squares[0], squares[1], squares[2], squares[3], squares[4], squares[5]};
    if (options.clip_norm > 0.0 && !(1.01 * norm_bound(of, *sums, bound) + 1e-6 <= options.clip_norm)) {
        sums->needs_norm = 1; // also if the bound is NaN
        set_condition(measure_norm, true);
    }
}

__global__ void __launch_bounds__(kThreads)
    clip_kernel(const double *__restrict__ by_group, int64_t groups, const float *__restrict__ b_dec_gradient,
                int64_t d_in, AdamOptions options, StepSums *sums) {
    if (sums->needs_norm == 0) {
        return;
    }
    const double squares = sum_of(by_group, groups) + squares_of(b_dec_gradient, d_in);
    if (threadIdx.x == 0) {
        sums->clip = clip_factor(options, sqrt(squares));
    }
}

__global__ void __launch_bounds__(kThreads)
    finish_step_kernel(const double *__restrict__ by_group, int64_t groups, const float *__restrict__ b_dec_gradient,
                       int64_t d_in, AdamOptions options, bool train_decoder, double *weight_squares,
                       StepStatus *status) {
    if (status->bad_row != kNoBadRow) {
        return;
    }
    const double squares = sum_of(by_group, groups) + squares_of(b_dec_gradient, d_in);
    const double encoder = sum_of(by_group + groups, groups);
    const double decoder = sum_of(by_group + 2 * groups, groups);
    if (threadIdx.x == 0) {
        status->stats[SAE_STAT_GRADIENT_NORM] = options.clip_norm > 0.0 ? sqrt(squares) : 0.0;
        weight_squares[0] = encoder;
        if (train_decoder) {
            weight_squares[1] = decoder;
        }
    }
}

} // namespace

cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, cudaStream_t stream) {
    return launch(begin_step_kernel, 1, stream, lr, sums, status);
}

cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream) {
    cudaError_t error = launch_squares(w_enc, count, partials, stream);
    if (error == cudaSuccess) {
        error = launch_squares(w_dec, count, partials + kSquareBlocks, stream);
    }
    return error != cudaSuccess ? error : launch(weight_squares_kernel, 1, stream, partials, weight_squares);
}

cudaError_t launch_batch_scales(const LossOptions &options, const double *moments, int64_t rows, int64_t d_in,
                                const int *n_dead, StepSums *sums, cudaStream_t stream) {
    return launch(batch_scales_kernel, 1, stream, options, moments, static_cast<double>(rows), d_in, n_dead, sums);
}

cudaError_t launch_decide(const double *collected, const int64_t *active, const SelectionCounts *counts,
                          const int *n_dead, const ClipBound &bound, const AdamOptions &options, StepSums *sums,
                          StepStatus *status, const Condition &measure_norm, cudaStream_t stream) {
    return launch(decide_kernel, 1, stream, collected, active, counts, n_dead, bound, options, sums, status,
                  measure_norm);
}

cudaError_t launch_clip(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                        const AdamOptions &options, StepSums *sums, cudaStream_t stream) {
    return launch(clip_kernel, 1, stream, by_group, groups, b_dec_gradient, d_in, options, sums);
}

cudaError_t launch_finish_step(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                               const AdamOptions &options, bool train_decoder, double *weight_squares,
                               StepStatus *status, cudaStream_t stream) {
    return launch(finish_step_kernel, 1, stream, by_group, groups, b_dec_gradient, d_in, options, train_decoder,
                  weight_squares, status);
}

} // namespace sae::cuda
