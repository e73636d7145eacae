/* losses.h: launches of sums, losses and output gradients; definitions are in losses.cu. */
#ifndef SAE_CUDA_LOSSES_H
#define SAE_CUDA_LOSSES_H

#include "../encode/select.h"
#include "step_state.h"

namespace sae::cuda {

constexpr int64_t kChunk = 64; // rows of a column sum added by one thread

/* total = sum of terms[0, count) */
cudaError_t launch_total(const double *terms, int64_t count, double *total, cudaStream_t stream);
/* sums [columns] = sum over rows of weights[row] a[row]; partials: scratch of column_scratch(rows, columns) */
int64_t column_scratch(int64_t rows, int64_t columns);
cudaError_t launch_column_sums(const float *a, const float *weights, int64_t rows, int64_t columns, double *partials,
                               double *sums, cudaStream_t stream);
/* total = sum of (a - column mean)^2, or of a^2 when column_sums is null; squares: scratch [rows] */
cudaError_t launch_squares_about(const float *a, const double *column_sums, int64_t rows, int64_t columns,
                                 double *squares, double *total, cudaStream_t stream);
cudaError_t launch_count_active(const float *values, int64_t entries, double *total, cudaStream_t stream);
/* of another reconstruction loss, as multi_topk.cu's */
struct SecondLoss {
    double weight;
    const double *squares; // [1]; null: there is none
};
/* for a part, weighted by its rows */
cudaError_t launch_scales(const LossOptions &options, int64_t rows, int64_t d_out, const int *n_dead,
                          const SelectionCounts *counts, bool first, const SecondLoss &second, StepSums *sums,
                          StepStatus *status, cudaStream_t stream);
cudaError_t launch_output_gradient(const StepSums *sums, bool detach, int64_t count, float *error, float *residual,
                                   cudaStream_t stream);

} // namespace sae::cuda
#endif
