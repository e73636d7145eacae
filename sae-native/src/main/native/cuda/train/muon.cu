/*
 * muon.cu: Muon's step of a matrix (sae_abi.h: SAE_MUON). With the clipped and projected gradient g and b = 0.95:
 *
 *   m += (1 - b) (g - m);  N = g + b (m - g);  W *= 1 - 0.1 lr;  W -= 0.2 lr sqrt(longer side) N's orthogonal factor, by
 *   the products of newton_schulz.cu
 *
 * in and out: gradient G (N is written over it), momentum, W float32 [rows, columns]; StepSums and StepStatus on the
 * device. Parameters and momentum stay if the status has a bad row. Bytes: 24 per parameter (G, m, W read and written),
 * and those of the products.
 * Launch: momentum: a block of 256 threads per row, whose sum of squares one more block adds up; 2 KiB shared memory.
 * Source: sparsify 1.3.3, muon.py.
 * Deterministic: double sums in a fixed tree. Not yet run on a GPU.
 */
#include "muon.h"

#include "decoder_row.cuh"
#include "losses.h"

namespace sae::cuda {
namespace {

constexpr double kMomentum = 0.95;
constexpr double kDecay = 0.1;

__global__ void __launch_bounds__(kThreads)
    momentum_kernel(MuonMatrix of, AdamOptions options, const StepSums *__restrict__ sums,
                    const StepStatus *__restrict__ status, double *__restrict__ row_squares) {
    if (status->bad_row != kNoBadRow) {
        return;
    }
    const int64_t columns = of.shape.columns;
    const int64_t start = static_cast<int64_t>(blockIdx.x) * columns;
    float *gradient = of.gradient + start;
    float *momentum = of.momentum + start;
    float *w = of.w + start;
    const double along = of.of_decoder ? begin_row(gradient, sums->clip, options, columns, w) : 0.0;
    const double keep = 1.0 - kDecay * sums->lr;
    double squares = 0.0;
    for (int64_t i = threadIdx.x; i < columns; i += kThreads) {
        const double g = sums->clip * gradient[i] - along * w[i];
        const double m = momentum[i] + (1.0 - kMomentum) * (g - momentum[i]);
        const auto n = static_cast<float>(g + kMomentum * (m - g));
        momentum[i] = static_cast<float>(m);
        gradient[i] = n;
        w[i] = static_cast<float>(keep * w[i]);
        squares += static_cast<double>(n) * n;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        row_squares[blockIdx.x] = squares;
    }
}

__global__ void __launch_bounds__(kThreads)
    normalize_rows_kernel(int64_t columns, const StepStatus *__restrict__ status, float *__restrict__ matrix) {
    if (status->bad_row == kNoBadRow) {
        float *row = matrix + static_cast<int64_t>(blockIdx.x) * columns;
        scale_row(row, columns, inverse_norm(row, columns));
    }
}

} // namespace

cudaError_t launch_muon(const Context &context, const MuonMatrix &of, const AdamOptions &options, const StepSums *sums,
                        const StepStatus *status, const MuonScratch &scratch) {
    const cudaStream_t stream = context.stream;
    cudaError_t error = launch(momentum_kernel, of.shape.rows, stream, of, options, sums, status, scratch.row_squares);
    if (error == cudaSuccess) {
        error = launch_total(scratch.row_squares, of.shape.rows, scratch.squares, stream);
    }
    if (error == cudaSuccess) {
        error = launch_newton_schulz(context, {of.shape, of.gradient, scratch.squares, of.w, sums, status},
                                     scratch.products);
    }
    if (error == cudaSuccess && of.of_decoder && options.decoder_norm == SAE_DECODER_NORM_AFTER_STEP) {
        error = launch(normalize_rows_kernel, of.shape.rows, stream, of.shape.columns, status, of.w);
    }
    return error;
}

} // namespace sae::cuda
