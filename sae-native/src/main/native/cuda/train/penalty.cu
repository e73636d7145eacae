/*
 * penalty.cu: the sparsity terms of SAE_THRESHOLD_RULE, and the straight-through gradients of thresholds (formulas:
 * sae_abi.h, SAE_SPARSITY_*).
 *
 *   L1    dz += c n, dn = c z;   tanh    dz += c s (1 - tanh^2) n, dn = c s (1 - tanh^2) z   with tanh(s z n)
 *   dtheta = -((t / h) dz + (dL/dL0) / h) where |z_pre - t| < h / 2;  dz_pre = dz where z > 0 (- dtheta with STE_TO_INPUT)
 *
 * in and out: as penalty.h says. Bytes: 12 an entry read, 4 to 12 written, and 4 to 8 gathered by latent; norms read
 * 4 d_sae d_in. Launch: a block of 256 threads per row; norms and near zero: a warp per row or latent.
 * Sources: Rajamanoharan et al. 2024, "Jumping ahead" (the estimator, L0); Anthropic, January 2025 update (tanh); SAELens
 * 6.54 jumprelu_sae.py, standard_sae.py; dictionary_learning 0.1.0 trainers/jumprelu.py, standard.py.
 * Deterministic: double sums in a fixed tree. Not yet run on a GPU.
 */
#include "penalty.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    row_norms_kernel(const float *__restrict__ matrix, int64_t rows, int64_t columns, float *__restrict__ norms) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= rows) {
        return; // the same for the whole warp
    }
    double squares = 0.0;
    for (int64_t i = static_cast<int>(threadIdx.x) % kWarp; i < columns; i += kWarp) {
        const double value = matrix[row * columns + i];
        squares += value * value;
    }
    squares = warp_sum(squares);
    if (threadIdx.x % kWarp == 0) {
        norms[row] = static_cast<float>(sqrt(squares));
    }
}

/* A row's terms of L0, and their derivative by it. */
struct OfL0 {
    double term, slope;
};
__device__ inline OfL0 of_l0(const Penalise &of, int64_t row) {
    const double c = of.ragged->penalty;
    const double target = of.options.target_l0;
    switch (of.options.sparsity) {
    case SAE_SPARSITY_L0:
        return {c * of.active[row], of.ragged->step_slope};
    case SAE_SPARSITY_L0_OF_ROWS: {
        const double off = of.active[row] - target;
        return {c * 2.0 / target * off * off, c * 4.0 / target * off};
    }
    case SAE_SPARSITY_L0_OF_BATCH: {
        const double off = of.sums->active / static_cast<double>(of.batch.rows) / target - 1.0;
        return {c * off * off, of.ragged->step_slope};
    }
    default:
        return {0.0, 0.0};
    }
}

__global__ void __launch_bounds__(kThreads) penalise_kernel(Penalise of) {
    const int64_t row = blockIdx.x;
    const double c = of.ragged->penalty;
    const OfL0 l0 = of_l0(of, row);
    const float h = of.options.bandwidth;
    double terms = 0.0;
    for (int64_t i = of.batch.starts[row] + threadIdx.x; i < of.batch.starts[row + 1]; i += kThreads) {
        const int latent = of.batch.indices[i];
        const float value = of.batch.values[i];
        const double z = value;
        const double n = of.norms == nullptr ? 1.0 : of.norms[latent];
        double dz = of.dz[i];
        double dn = 0.0;
        if (of.options.sparsity == SAE_SPARSITY_L1 && value > 0.0f) {
            terms += c * z * n;
            dz += c * n;
            dn = c * z;
        } else if (of.options.sparsity == SAE_SPARSITY_TANH) {
            const double t = tanh(of.options.tanh_scale * z * n);
            const double inner = c * of.options.tanh_scale * (1.0 - t * t);
            terms += c * t;
            dz += inner * n;
            dn = inner * z;
        }
        if (of.norms != nullptr) {
            of.dnorm[i] = static_cast<float>(dn);
        }
        if (of.threshold != nullptr) {
            const float t = of.threshold[latent];
            const bool near = value == 0.0f || value - t < h / 2.0f;
            double through = near ? static_cast<double>(t) / h * dz : 0.0;
            if (near && (value > 0.0f || of.options.sparsity != SAE_SPARSITY_L0_OF_BATCH)) {
                through += l0.slope / h;
            }
            of.dtheta[i] = static_cast<float>(-through);
            dz = (value > 0.0f ? dz : 0.0) + (of.options.ste_to_input ? through : 0.0);
        }
        of.dz[i] = static_cast<float>(dz);
    }
    terms = block_sum(terms);
    if (threadIdx.x == 0) {
        of.terms[row] = terms + l0.term;
    }
}

__global__ void __launch_bounds__(kThreads)
    near_zero_kernel(RaggedBatch batch, RaggedLists lists, int64_t d_sae, float bandwidth,
                     const float *__restrict__ threshold, const RaggedSums *__restrict__ ragged,
                     double *__restrict__ gradient) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (latent >= d_sae || !(threshold[latent] < bandwidth / 2.0f)) {
        return; // the same for the whole warp
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    int active = 0;
    for (int64_t at = lists.offsets[latent] + lane; at < lists.offsets[latent + 1]; at += kWarp) {
        active += batch.values[lists.order[at]] > 0.0f ? 1 : 0;
    }
    active = warp_sum(active);
    if (lane == 0) {
        const double silent = static_cast<double>(batch.rows - active);
        gradient[latent] -= ragged->step_slope / bandwidth * silent;
    }
}

} // namespace

cudaError_t launch_row_norms(const float *matrix, int64_t rows, int64_t columns, float *norms, cudaStream_t stream) {
    return launch(row_norms_kernel, divide_up(rows, kWarps), stream, matrix, rows, columns, norms);
}

cudaError_t launch_penalise(const Penalise &of, cudaStream_t stream) {
    return launch(penalise_kernel, of.batch.rows, stream, of);
}

cudaError_t launch_near_zero(const RaggedBatch &batch, const RaggedLists &lists, int64_t d_sae,
                             const PenaltyOptions &options, const float *threshold, const RaggedSums *ragged,
                             double *gradient, cudaStream_t stream) {
    return launch(near_zero_kernel, divide_up(d_sae, kWarps), stream, batch, lists, d_sae, options.bandwidth, threshold,
                  ragged, gradient);
}

} // namespace sae::cuda
