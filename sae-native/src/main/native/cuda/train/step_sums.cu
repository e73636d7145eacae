/*
 * step_sums.cu: what precedes a step: this step's lr, no bad row yet, counters at 0; and, when parameters were written
 * by something else, the sums of squares of the weights for the bound on the gradient norm (decide.cuh).
 *
 * Launch: begin: a thread per counter; squares: adam.cu's, then one block. Deterministic: double sums in a fixed tree.
 * Not measured on a GPU yet.
 */
#include "step_sums.h"

#include "../device/reduce.cuh"
#include "adam.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    begin_step_kernel(double lr, StepSums *sums, StepStatus *status, Counters counters) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (at < counters.count) {
        counters.at[at] = 0;
    }
    if (at == 0 && sums != nullptr) {
        sums->lr = lr;
    }
    if (at == 0 && status != nullptr) {
        status->bad_row = kNoBadRow;
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

} // namespace

cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, const Counters &counters,
                              cudaStream_t stream) {
    return launch(begin_step_kernel, 1 + counters.count / kThreads, stream, lr, sums, status, counters);
}

cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream) {
    cudaError_t error = launch_squares(w_enc, count, partials, stream);
    if (error == cudaSuccess) {
        error = launch_squares(w_dec, count, partials + kSquareBlocks, stream);
    }
    return error != cudaSuccess ? error : launch(weight_squares_kernel, 1, stream, partials, weight_squares);
}

} // namespace sae::cuda
