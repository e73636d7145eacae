/* penalty.h: launches of the sparsity terms and of the gradients of thresholds; definitions are in penalty.cu. */
#ifndef SAE_CUDA_PENALTY_H
#define SAE_CUDA_PENALTY_H

#include "ragged_batch.h"
#include "step_state.h"

namespace sae::cuda {

/* norms [rows] = |matrix[row]| */
cudaError_t launch_row_norms(const float *matrix, int64_t rows, int64_t columns, float *norms, cudaStream_t stream);

struct Penalise {
    RaggedBatch batch;
    PenaltyOptions options;
    const float *threshold; // [m]; null: not trained
    const float *norms;     // [m]; null: 1
    const double *active;   // [rows]
    const StepSums *sums;
    const RaggedSums *ragged;
    float *dz;     // [entries] from dL/dz through the decoder to dL/dz_pre
    float *dtheta; // [entries] dL/dt; null together with threshold
    float *dnorm;  // [entries] dL/dn; null together with norms
    double *terms; // [rows] the row's sparsity term
};
cudaError_t launch_penalise(const Penalise &of, cudaStream_t stream);

/* Adds to the thresholds' gradient [m] what SAE_SPARSITY_L0_OF_BATCH has of latents that are not active in a row: z = 0 is
 * within the bandwidth of a threshold below half of it. */
cudaError_t launch_near_zero(const RaggedBatch &batch, const RaggedLists &lists, int64_t d_sae,
                             const PenaltyOptions &options, const float *threshold, const RaggedSums *ragged,
                             double *gradient, cudaStream_t stream);

} // namespace sae::cuda
#endif
