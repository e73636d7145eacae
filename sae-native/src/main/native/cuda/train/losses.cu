/*
 * losses.cu: column means, squares about them, a step's losses and the factors of its gradients.
 *
 *   column sums:   sums[i] = sum_b w[b] a[b, i]                         (w = 1 when null)
 *   row squares:   squares[b] = sum_i (a[b, i] - scale sums[i])^2        (no mean when sums is null)
 *   reconstruction = main sum e^2,  main = 1/(B d) | 1/B | 1/sum (y - mean y)^2    (SAE_OPT_LOSS; y the target, d d_out)
 *   aux            = aux sum r^2,   aux = coefficient share / (B d) | / B | / sum (y - mean y)^2
 *                                         | / sum (e - mean e)^2                                   (SAE_OPT_AUX_NORM)
 *   share = min(1, n_dead / aux_k) with SAE_OPT_AUX_SCALE_BY_DEAD, else 1; aux = 0 without dead latents
 *   output gradient: dL/dx_hat = 2 main e + (detach ? 0 : 2 aux r),  dL/d(z_aux W_dec) = 2 aux r
 *   A ratio over zero variance counts as 0. In the plain step main and aux are multiplied by B, so that parts add up.
 *
 * in and out: float32 [rows, d_out] matrices, double sums. Bytes: 4 rows d_out per pass.
 * Launch: column sums: a block per 256 columns and kChunk rows, then a thread per column over the chunks; row squares:
 * one block per row; totals: one block; scales: one thread. All with 256 threads, at most 2 KiB of shared memory.
 * Deterministic: chunks have a fixed size and are added in order, in double. Not yet run on a GPU.
 */
#include "losses.h"

#include "../device/reduce.cuh"
#include "step_numbers.cuh"
#include "step_state.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    column_partials_kernel(const float *__restrict__ a, const float *__restrict__ weights, int64_t rows,
                           int64_t columns, double *__restrict__ partials) {
    const int64_t column_blocks = (columns + kThreads - 1) / kThreads;
    const int64_t chunk = blockIdx.x / column_blocks;
    const int64_t column = blockIdx.x % column_blocks * kThreads + threadIdx.x;
    if (column >= columns) {
        return;
    }
    const int64_t first = chunk * kChunk;
    const int64_t end = first + kChunk < rows ? first + kChunk : rows;
    double sum = 0.0;
    for (int64_t row = first; row < end; row++) {
        const double value = a[row * columns + column];
        sum += weights == nullptr ? value : weights[row] * value;
    }
    partials[chunk * columns + column] = sum;
}

__global__ void __launch_bounds__(kThreads) column_totals_kernel(const double *__restrict__ partials, int64_t chunks,
                                                                 int64_t columns, double *__restrict__ sums) {
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (column >= columns) {
        return;
    }
    double sum = 0.0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        sum += partials[chunk * columns + column];
    }
    sums[column] = sum;
}

__global__ void __launch_bounds__(kThreads)
    row_squares_kernel(const float *__restrict__ a, const double *__restrict__ column_sums, double scale,
                       int64_t columns, double *__restrict__ squares) {
    const int64_t row = blockIdx.x;
    double sum = 0.0;
    for (int64_t column = threadIdx.x; column < columns; column += kThreads) {
        const double mean = column_sums == nullptr ? 0.0 : column_sums[column] * scale;
        const double deviation = a[row * columns + column] - mean;
        sum += deviation * deviation;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        squares[row] = sum;
    }
}

__global__ void __launch_bounds__(kThreads)
    total_kernel(const double *__restrict__ terms, int64_t count, double *__restrict__ total) {
    const double sum = sum_of(terms, count);
    if (threadIdx.x == 0) {
        *total = sum;
    }
}

/* Kept values of the whole batch that are not 0. */
__global__ void __launch_bounds__(kThreads)
    count_active_kernel(const float *__restrict__ values, int64_t entries, double *__restrict__ total) {
    double count = 0.0;
    for (int64_t entry = threadIdx.x; entry < entries; entry += kThreads) {
        count += values[entry] != 0.0f ? 1.0 : 0.0;
    }
    count = block_sum(count); // integers below 2^53: exact in any order
    if (threadIdx.x == 0) {
        *total = count;
    }
}

__global__ void scales_kernel(LossOptions options, double rows, double d_out, const int *n_dead,
                              const SelectionCounts *counts, bool first, SecondLoss second, StepSums *sums,
                              StepStatus *status) {
    if (threadIdx.x == 0) {
        sums->error_scale = error_scale_of(options, rows, d_out, *sums) * rows;
        const double share = aux_share(options, *n_dead); // without dead latents there may be no residual's variance
        sums->aux_scale = share == 0.0 ? 0.0 : aux_scale_of(options, rows, d_out, *sums) * share * rows;
        set_counts(*counts, sums);
        StepTotals part = totals(*sums);
        if (second.squares != nullptr) {
            part.reconstruction += sums->error_scale / 2.0 * second.weight * *second.squares;
        }
        status->parts = first ? part : status->parts + part;
    }
}

/* error becomes dL/dx_hat, residual (may be null) becomes dL/d(z_aux W_dec). */
__global__ void __launch_bounds__(kThreads)
    output_gradient_kernel(const StepSums *__restrict__ sums, bool detach, int64_t count, float *__restrict__ error,
                           float *__restrict__ residual) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= count) {
        return;
    }
    const double through_aux = residual == nullptr ? 0.0 : sums->aux_scale * residual[i];
    error[i] = static_cast<float>(sums->error_scale * error[i] + (detach ? 0.0 : through_aux));
    if (residual != nullptr) {
        residual[i] = static_cast<float>(through_aux);
    }
}

} // namespace

cudaError_t launch_total(const double *terms, int64_t count, double *total, cudaStream_t stream) {
    return launch(total_kernel, 1, stream, terms, count, total);
}

int64_t column_scratch(int64_t rows, int64_t columns) { return divide_up(rows, kChunk) * columns; }

cudaError_t launch_column_sums(const float *a, const float *weights, int64_t rows, int64_t columns, double *partials,
                               double *sums, cudaStream_t stream) {
    const int64_t chunks = divide_up(rows, kChunk);
    const int64_t column_blocks = divide_up(columns, kThreads);
    cudaError_t error =
        launch(column_partials_kernel, chunks * column_blocks, stream, a, weights, rows, columns, partials);
    return error != cudaSuccess ? error
                                : launch(column_totals_kernel, column_blocks, stream, partials, chunks, columns, sums);
}

cudaError_t launch_squares_about(const float *a, const double *column_sums, int64_t rows, int64_t columns,
                                 double *squares, double *total, cudaStream_t stream) {
    cudaError_t error =
        launch(row_squares_kernel, rows, stream, a, column_sums, 1.0 / static_cast<double>(rows), columns, squares);
    return error != cudaSuccess ? error : launch_total(squares, rows, total, stream);
}

cudaError_t launch_count_active(const float *values, int64_t entries, double *total, cudaStream_t stream) {
    return launch(count_active_kernel, 1, stream, values, entries, total);
}

cudaError_t launch_scales(const LossOptions &options, int64_t rows, int64_t d_out, const int *n_dead,
                          const SelectionCounts *counts, bool first, const SecondLoss &second, StepSums *sums,
                          StepStatus *status, cudaStream_t stream) {
    return launch(scales_kernel, 1, stream, options, static_cast<double>(rows), static_cast<double>(d_out), n_dead,
                  counts, first, second, sums, status);
}

cudaError_t launch_output_gradient(const StepSums *sums, bool detach, int64_t count, float *error, float *residual,
                                   cudaStream_t stream) {
    return launch(output_gradient_kernel, divide_up(count, kThreads), stream, sums, detach, count, error, residual);
}

} // namespace sae::cuda
