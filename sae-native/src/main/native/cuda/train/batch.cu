/*
 * batch.cu: one pass over the rows of a step: finite check, x - b_dec, and the sums of x that the loss needs.
 *
 *   centred[b] = x[b] - b_dec                                    (only where b_dec is subtracted)
 *   variance   = sum_b,i (x[b, i] - mean_b x[b, i])^2
 *   input      = sum_b,i centred[b, i]^2, of x itself where nothing is subtracted
 *
 * in:  x float32 [rows, d_in]; b_dec float32 [d_in] or null
 * out: centred float32 [rows, d_in] or null; bad_row lowered to the first row with NaN or infinity; in StepSums
 *      variance, input_squares, and from them error_scale and aux_scale, the latter for a share of 1 (losses.cu)
 * scratch: partials double [batch_scratch(rows, d_in)]; counters
 * How: sums of x - x[0, i] and of its square, so that a column far from zero does not cancel; then by chunk. The last
 * block of 256 columns adds up their chunks, the last of those the columns: one launch, three before.
 * A target y other than x: the same pass over it once more, whose variance and scales replace x's (one thread); 4 rows d_in.
 * Bytes: 4 rows d_in read once, the same written where b_dec is subtracted. Launch: a block of 256 threads per
 * kBatchRows rows and 256 columns. 0.4 KiB shared memory.
 * Deterministic: chunks of fixed size, added in order, in double. Not measured on a GPU yet.
 */
#include "batch.h"

#include "../device/last_block.cuh"
#include "../device/reduce.cuh"
#include "step_numbers.cuh"

namespace sae::cuda {
namespace {

constexpr int64_t kBatchRows = 32;
constexpr int64_t kBatchSums = 3; // of x - x[0], of its square, of the squared input

/* partial [kBatchSums, d_in]: sums of a chunk's rows */
__device__ inline void prepare_column(const BatchRows &in, int64_t column, int64_t first, double *partial) {
    const int64_t end = first + kBatchRows < in.rows ? first + kBatchRows : in.rows;
    const float bias = in.b_dec == nullptr ? 0.0f : in.b_dec[column];
    const double origin = in.x[column];
    double sum = 0.0;
    double squares = 0.0;
    double input = 0.0;
#pragma unroll 8
    for (int64_t row = first; row < end; row++) {
        const float value = in.x[row * in.d_in + column];
        if (!isfinite(value)) {
            atomicMin(in.bad_row, static_cast<int>(row));
        }
        const float seen = value - bias;
        if (in.centred != nullptr) {
            in.centred[row * in.d_in + column] = seen;
        }
        const double deviation = value - origin;
        sum += deviation;
        squares += deviation * deviation;
        input += static_cast<double>(seen) * seen;
    }
    partial[column] = sum;
    partial[in.d_in + column] = squares;
    partial[2 * in.d_in + column] = input;
}

/* variance and input squares of a column */
__device__ inline void total_column(const BatchRows &in, int64_t column, int64_t chunks, double (&moments)[2]) {
    double total[kBatchSums] = {};
#pragma unroll 8
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        for (int64_t which = 0; which < kBatchSums; which++) {
            total[which] += in.partials[(chunk * kBatchSums + which) * in.d_in + column];
        }
    }
    const double variance = total[1] - total[0] * total[0] / static_cast<double>(in.rows);
    moments[0] = in.rows > 1 && variance > 0.0 ? variance : 0.0;
    moments[1] = total[2];
}

__global__ void __launch_bounds__(kThreads) prepare_batch_kernel(BatchRows in, int64_t chunks, int64_t column_blocks) {
    const int64_t chunk = blockIdx.x / column_blocks;
    const int64_t column_block = blockIdx.x % column_blocks;
    const int64_t column = column_block * kThreads + threadIdx.x;
    if (column < in.d_in) {
        prepare_column(in, column, chunk * kBatchRows, in.partials + chunk * kBatchSums * in.d_in);
    }
    if (!is_last_block(in.arrived + 1 + column_block, chunks)) {
        return;
    }
    double moments[2] = {};
    if (column < in.d_in) {
        total_column(in, column, chunks, moments);
    }
    block_sums(moments);
    double *by_block = in.partials + chunks * kBatchSums * in.d_in; // [column_blocks, 2]
    if (threadIdx.x == 0) {
        by_block[2 * column_block] = moments[0];
        by_block[2 * column_block + 1] = moments[1];
    }
    if (is_last_block(in.arrived, column_blocks) && threadIdx.x == 0) {
        double variance = 0.0;
        double input = 0.0;
        for (int64_t of = 0; of < column_blocks; of++) {
            variance += by_block[2 * of];
            input += by_block[2 * of + 1];
        }
        StepSums &sums = *in.sums;
        sums.variance = variance;
        sums.input_squares = input;
        const auto rows = static_cast<double>(in.rows);
        const auto d_in = static_cast<double>(in.d_in);
        sums.error_scale = error_scale_of(in.loss, rows, d_in, sums);
        sums.aux_scale = aux_scale_of(in.loss, rows, d_in, sums);
    }
}

__global__ void take_target_kernel(const StepSums *of_target, StepSums *sums) {
    if (threadIdx.x == 0) {
        sums->variance = of_target->variance;
        sums->error_scale = of_target->error_scale;
        sums->aux_scale = of_target->aux_scale;
    }
}

} // namespace

int64_t batch_scratch(int64_t rows, int64_t d_in) {
    return divide_up(rows, kBatchRows) * kBatchSums * d_in + 2 * divide_up(d_in, kThreads);
}

cudaError_t launch_prepare_batch(const BatchRows &in, cudaStream_t stream) {
    const int64_t chunks = divide_up(in.rows, kBatchRows);
    const int64_t column_blocks = divide_up(in.d_in, kThreads);
    return launch(prepare_batch_kernel, chunks * column_blocks, stream, in, chunks, column_blocks);
}

cudaError_t launch_prepare_target(const BatchRows &in, StepSums *sums, cudaStream_t stream) {
    const cudaError_t error = launch_prepare_batch(in, stream);
    return error != cudaSuccess ? error : launch(take_target_kernel, 1, stream, in.sums, sums);
}

} // namespace sae::cuda
