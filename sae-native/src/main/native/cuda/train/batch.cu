/*
 * batch.cu: one pass over the rows of a step: finite check, x - b_dec, and the sums of x that the loss needs.
 *
 *   centred[b] = x[b] - b_dec                                    (only where b_dec is subtracted)
 *   variance   = sum_b,i (x[b, i] - mean_b x[b, i])^2
 *   input      = sum_b,i centred[b, i]^2, of x itself where nothing is subtracted
 *
 * in:  x float32 [rows, d_in]; b_dec float32 [d_in] or null
 * out: centred float32 [rows, d_in] or null; bad_row lowered to the first row with NaN or infinity; moments double
 *      [2, d_in]: variance and input by column
 * scratch: partials double [batch_scratch(rows, d_in)]
 * How: sums of x - x[0, i] and of its square, so that a column far from zero does not cancel; then by chunk.
 * Bytes: 4 rows d_in read once, the same written where b_dec is subtracted. Launch: a block of 256 threads per
 * kBatchRows rows and 256 columns; then one thread per column. No shared memory.
 * Deterministic: chunks of fixed size, added in order, in double. Not measured on a GPU yet.
 */
#include "batch.h"

namespace sae::cuda {
namespace {

constexpr int64_t kBatchRows = 32;
constexpr int64_t kBatchSums = 3; // of x - x[0], of its square, of the squared input

__global__ void __launch_bounds__(kThreads)
    prepare_batch_kernel(const float *__restrict__ x, const float *__restrict__ b_dec, int64_t rows, int64_t d_in,
                         float *__restrict__ centred, int *__restrict__ bad_row, double *__restrict__ partials) {
    const int64_t column_blocks = (d_in + kThreads - 1) / kThreads;
    const int64_t chunk = blockIdx.x / column_blocks;
    const int64_t column = blockIdx.x % column_blocks * kThreads + threadIdx.x;
    if (column >= d_in) {
        return;
    }
    const int64_t first = chunk * kBatchRows;
    const int64_t end = first + kBatchRows < rows ? first + kBatchRows : rows;
    const float bias = b_dec == nullptr ? 0.0f : b_dec[column];
    const double origin = x[column];
    double sum = 0.0;
    double squares = 0.0;
    double input = 0.0;
#pragma unroll 8
    for (int64_t row = first; row < end; row++) {
        const float value = x[row * d_in + column];
        if (!isfinite(value)) {
            atomicMin(bad_row, static_cast<int>(row));
        }
        const float seen = value - bias;
        if (centred != nullptr) {
            centred[row * d_in + column] = seen;
        }
        const double deviation = value - origin;
        sum += deviation;
        squares += deviation * deviation;
        input += static_cast<double>(seen) * seen;
    }
    double *partial = partials + chunk * kBatchSums * d_in + column;
    partial[0] = sum;
    partial[d_in] = squares;
    partial[2 * d_in] = input;
}

__global__ void __launch_bounds__(kThreads)
    batch_moments_kernel(const double *__restrict__ partials, int64_t chunks, int64_t rows, int64_t d_in,
                         double *__restrict__ moments) {
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (column >= d_in) {
        return;
    }
    double total[kBatchSums] = {};
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        for (int64_t which = 0; which < kBatchSums; which++) {
            total[which] += partials[(chunk * kBatchSums + which) * d_in + column];
        }
    }
    const double variance = total[1] - total[0] * total[0] / static_cast<double>(rows);
    moments[column] = rows > 1 && variance > 0.0 ? variance : 0.0;
    moments[d_in + column] = total[2];
}

} // namespace

int64_t batch_scratch(int64_t rows, int64_t d_in) { return divide_up(rows, kBatchRows) * kBatchSums * d_in; }

cudaError_t launch_prepare_batch(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                 int *bad_row, double *partials, double *moments, cudaStream_t stream) {
    const int64_t chunks = divide_up(rows, kBatchRows);
    const int64_t column_blocks = divide_up(d_in, kThreads);
    const cudaError_t error =
        launch(prepare_batch_kernel, chunks * column_blocks, stream, x, b_dec, rows, d_in, centred, bad_row, partials);
    return error != cudaSuccess
               ? error
               : launch(batch_moments_kernel, column_blocks, stream, partials, chunks, rows, d_in, moments);
}

} // namespace sae::cuda
