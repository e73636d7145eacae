/*
 * ragged_losses.cu: a ragged step's losses and the factors of its gradients; like the plain step's (losses.cu) they are
 * multiplied by the B rows, so that parts add up.
 *
 *   reconstruction = main sum_g weight_g sum e_g^2;  gated: aux = main sum (the gates' error)^2
 *   aux = sum over levels l of aux_l sum r_l^2, aux_l as in losses.cu with the level's e and number of dead latents
 *   c = coefficient min(1, steps / warm-up)
 *   step slope = c (SAE_SPARSITY_L0);  2 c (mean L0 / T - 1) / T (SAE_SPARSITY_L0_OF_BATCH);  otherwise it depends on the row
 *
 * in and out: scalars in StepSums, RaggedSums and StepStatus. Launch: one thread.
 * Deterministic. Not yet run on a GPU.
 */
#include "ragged_losses.h"

#include "step_numbers.cuh"

namespace sae::cuda {
namespace {

__global__ void ragged_scales_kernel(RaggedLosses of) {
    if (threadIdx.x != 0) {
        return;
    }
    const auto rows = static_cast<double>(of.rows);
    const auto d_out = static_cast<double>(of.d_out);
    StepSums &sums = *of.sums;
    sums.error_scale = error_scale_of(of.loss, rows, d_out, sums) * rows;
    for (int level = 0; level < of.levels; level++) { // without dead latents there may be no residual's variance
        const double share = aux_share(of.loss, of.starts[level + 1] - of.starts[level]);
        sums.residual_variance = of.ragged->residual_variance[level];
        of.ragged->aux_scale[level] = share == 0.0 ? 0.0 : aux_scale_of(of.loss, rows, d_out, sums) * share * rows;
    }
    const double steps = static_cast<double>(of.status->steps);
    const double warm = of.penalty.warmup == 0.0 ? 1.0 : fmin(1.0, steps / of.penalty.warmup);
    const double c = of.penalty.coefficient * warm;
    const double target = of.penalty.target_l0;
    of.ragged->penalty = c;
    of.ragged->step_slope = of.penalty.sparsity == SAE_SPARSITY_L0 ? c
                            : of.penalty.sparsity == SAE_SPARSITY_L0_OF_BATCH
                                ? 2.0 * c * (sums.active / rows / target - 1.0) / target
                                : 0.0;
}

__global__ void ragged_totals_kernel(RaggedLosses of) {
    if (threadIdx.x != 0) {
        return;
    }
    StepSums &sums = *of.sums;
    sums.listed = 0.0; // the encoder kept no lists
    sums.overflowed = 0.0;
    sums.squared_error = of.ragged->prefix_squares[of.prefixes.count - 1];
    double squares = 0.0;
    for (int prefix = 0; prefix < of.prefixes.count; prefix++) {
        squares += of.prefixes.weights[prefix] * of.ragged->prefix_squares[prefix];
    }
    sums.aux_scale = 0.0; // by level
    StepTotals part = totals(sums);
    for (int level = 0; level < of.levels; level++) {
        const double scale = of.ragged->aux_scale[level];
        part.aux += scale == 0.0 ? 0.0 : scale / 2.0 * of.ragged->residual_squares[level];
    }
    part.reconstruction = sums.error_scale / 2.0 * squares;
    if (of.gated) {
        part.aux = sums.error_scale / 2.0 * of.ragged->gate_squares;
    }
    part.sparsity = of.penalty.sparsity == SAE_SPARSITY_NONE ? 0.0 : of.ragged->sparsity;
    part.least = of.ragged->least;
    of.status->parts = of.first ? part : of.status->parts + part;
}

} // namespace

cudaError_t launch_ragged_scales(const RaggedLosses &of, cudaStream_t stream) {
    return launch(ragged_scales_kernel, 1, stream, of);
}

cudaError_t launch_ragged_totals(const RaggedLosses &of, cudaStream_t stream) {
    return launch(ragged_totals_kernel, 1, stream, of);
}

} // namespace sae::cuda
