/*
 * step_numbers.cuh: a step's scalars, for the one thread that sets them: the scales of the gradients and the statistics
 * (formulas in losses.cu), Adam's factors and the clip factor (formulas in adam.cu).
 */
#ifndef SAE_CUDA_STEP_NUMBERS_CUH
#define SAE_CUDA_STEP_NUMBERS_CUH

#include "../device/rounding_noise.cuh"
#include "../encode/select.h"
#include "step_state.h"

namespace sae::cuda {

__device__ inline double inverse(double denominator) { return denominator == 0.0 ? 0.0 : 1.0 / denominator; }

/* The factor of e in the gradients; needs the variance. */
__device__ inline double error_scale_of(const LossOptions &options, double rows, double d_out, const StepSums &sums) {
    return options.loss == SAE_LOSS_MEAN       ? 2.0 / (rows * d_out)
           : options.loss == SAE_LOSS_SUM_MEAN ? 2.0 / rows
                                               : 2.0 * inverse(sums.variance);
}

/* The factor of r, for a share of 1; needs the variances. */
__device__ inline double aux_scale_of(const LossOptions &options, double rows, double d_out, const StepSums &sums) {
    if (!(options.aux_coefficient > 0.0)) {
        return 0.0;
    }
    const double normaliser = options.aux_norm == SAE_AUX_MEAN              ? 1.0 / (rows * d_out)
                              : options.aux_norm == SAE_AUX_SUM_MEAN        ? 1.0 / rows
                              : options.aux_norm == SAE_AUX_TARGET_VARIANCE ? inverse(sums.variance)
                                                                            : inverse(sums.residual_variance);
    return 2.0 * options.aux_coefficient * normaliser;
}

__device__ inline double aux_share(const LossOptions &options, int n_dead) {
    return n_dead > 0 ? fmin(1.0, n_dead * options.per_dead) : 0.0;
}

/* What the encoder counted. */
__device__ inline void set_counts(const SelectionCounts &counts, StepSums *sums) {
    sums->listed = static_cast<double>(counts.listed);
    sums->overflowed = counts.overflowed;
}

/* The losses carry the same extra factor as the scales. */
__device__ inline StepTotals totals(const StepSums &sums) {
    return {
        .reconstruction = sums.error_scale / 2.0 * sums.squared_error,
        .aux = sums.aux_scale == 0.0 ? 0.0 : sums.aux_scale / 2.0 * sums.squared_residual,
        .active = sums.active,
        .squared_error = sums.squared_error,
        .variance = sums.variance,
        .listed = sums.listed,
        .overflowed = sums.overflowed,
        .sparsity = 0.0,
        .least = INFINITY,
    };
}

__device__ inline StepTotals operator+(const StepTotals &a, const StepTotals &b) {
    return {
        .reconstruction = a.reconstruction + b.reconstruction,
        .aux = a.aux + b.aux,
        .active = a.active + b.active,
        .squared_error = a.squared_error + b.squared_error,
        .variance = a.variance + b.variance,
        .listed = a.listed + b.listed,
        .overflowed = a.overflowed + b.overflowed,
        .sparsity = a.sparsity + b.sparsity,
        .least = fmin(a.least, b.least),
    };
}

/* The step's statistics; a refused batch leaves those of the last accepted step. */
__device__ inline void set_statistics(const StepTotals &of, double weight, double rows, int n_dead,
                                      StepStatus *status) {
    if (status->bad_row != kNoBadRow) {
        return;
    }
    double *stats = status->stats;
    stats[SAE_STAT_RECONSTRUCTION] = of.reconstruction / weight;
    stats[SAE_STAT_AUX] = of.aux / weight;
    stats[SAE_STAT_SPARSITY] = of.sparsity / weight;
    stats[SAE_STAT_LOSS] = stats[SAE_STAT_RECONSTRUCTION] + stats[SAE_STAT_AUX] + stats[SAE_STAT_SPARSITY];
    stats[SAE_STAT_L0] = of.active / rows;
    stats[SAE_STAT_DEAD] = n_dead;
    stats[SAE_STAT_FVU] = of.squared_error * inverse(of.variance);
    stats[SAE_STAT_LISTED] = of.listed / rows;
    stats[SAE_STAT_OVERFLOWED] = of.overflowed;
}

__device__ inline double clip_factor(const AdamOptions &options, double norm) {
    return fmin(1.0, options.clip_norm / (norm + 1e-6));
}

/* Counts the step and sets Adam's scalars; false: the batch is refused, and nothing may change. */
__device__ inline bool begin_update(const AdamOptions &options, StepSums *sums, StepStatus *status) {
    if (status->bad_row != kNoBadRow) {
        status->refused_row = status->bad_row; // until the host asks
        return false;
    }
    const int64_t step = ++status->steps;
    const double t = static_cast<double>(step);
    sums->step_size = sums->lr / (1.0 - pow(options.beta1, t));
    sums->second_correction = 1.0 / sqrt(1.0 - pow(options.beta2, t));
    sums->encoder_seed = rounding_seed(step, 0);
    sums->decoder_seed = rounding_seed(step, 1);
    status->stats[SAE_STAT_STEPS] = t;
    return true;
}

} // namespace sae::cuda
#endif
