/*
 * prepare_rows.cu: prepares rows for the encoder's product: the finite check, x - b_dec, and for the screen the
 * row in bf16 with its bound (bf16.cuh), in one pass.
 *
 * in:  x float32 [rows, d_in]; b_dec float32 [d_in], null: nothing is subtracted
 * out: centred float32 [rows, d_in] (null together with b_dec); bad_row int32 [1]: lowered to the first row with NaN or
 * infinity (the caller sets it to kNoBadRow); rounded bf16 [rows, depth] zero-padded, bounds [rows]
 * Bytes: 4 rows d_in read, the same written for centred, half for rounded. Launch: one warp per row, 8 rows per block.
 * Deterministic: element-wise, sums in double in a fixed order, and a minimum of integers. Not measured yet.
 */
#include "prepare_rows.h"

#include "bf16.cuh"

namespace sae::cuda {
namespace {

constexpr int kRowsPerBlock = kThreads / 32;

__global__ void __launch_bounds__(kThreads) prepare_rows_kernel(PrepareRows job) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / 32;
    if (row >= job.rows) {
        return; // the same for the whole warp
    }
    const int64_t width = job.rounded == nullptr ? job.d_in : job.depth;
    Rounding sums;
    bool finite = true;
    for (int64_t i = lane; i < width; i += 32) {
        float value = 0.0f;
        if (i < job.d_in) {
            value = job.x[row * job.d_in + i];
            finite = finite && isfinite(value);
            if (job.centred != nullptr) {
                value -= job.b_dec[i];
                job.centred[row * job.d_in + i] = value;
            }
        }
        if (job.rounded != nullptr) {
            job.rounded[row * job.depth + i] = sums.add(value);
        }
    }
    if (!finite) {
        atomicMin(job.bad_row, static_cast<int>(row));
    }
    if (job.rounded != nullptr) {
        sums.sum();
        if (lane == 0) {
            job.bounds[row] = row_bound(sums, job.d_in);
        }
    }
}

} // namespace

cudaError_t launch_prepare_rows(const PrepareRows &rows, cudaStream_t stream) {
    return launch(prepare_rows_kernel, divide_up(rows.rows, kRowsPerBlock), stream, rows);
}

} // namespace sae::cuda
