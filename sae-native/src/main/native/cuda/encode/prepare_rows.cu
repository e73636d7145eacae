/*
 * prepare_rows.cu: prepares rows for the encoder's product: the finite check, x - b_dec, and for the screen the
 * row in 16 bits with its bound (rounding.cuh).
 *
 * in:  x float32 [rows, d_in]; b_dec float32 [d_in], null: nothing is subtracted
 * out: centred float32 [rows, d_in] (null together with b_dec); bad_row int32 [1]: lowered to the first row with NaN or
 * infinity (the caller sets it to kNoBadRow); rounded bf16 or half [rows, depth] zero-padded, bounds [rows]
 * Bytes: 4 rows d_in read, the same written for centred, half for rounded. A half is scaled by its row's largest element,
 * so the row is read once more, from L1 or L2. Launch: one warp per row, 8 rows per block.
 * Deterministic: element-wise, sums in double in a fixed order, and a minimum of integers. Not measured yet.
 */
#include "prepare_rows.h"

#include "rounding.cuh"

namespace sae::cuda {
namespace {

constexpr int kRowsPerBlock = kThreads / 32;

/* Lane l has elements l, l + 32, ... */
struct Row {
    const PrepareRows &job;
    int64_t row;
    int lane;

    __device__ float centred(int64_t i) const {
        const float value = job.x[row * job.d_in + i];
        return job.centred == nullptr ? value : value - job.b_dec[i];
    }

    /* The finite check, and `centred` to memory. Returns the largest magnitude of the row, on every lane. */
    __device__ float check_and_centre() const {
        bool finite = true;
        float largest = 0.0f;
        for (int64_t i = lane; i < job.d_in; i += 32) {
            finite = finite && isfinite(job.x[row * job.d_in + i]);
            const float value = centred(i);
            if (job.centred != nullptr) {
                job.centred[row * job.d_in + i] = value;
            }
            largest = fmaxf(largest, fabsf(value));
        }
        if (!finite) {
            atomicMin(job.bad_row, static_cast<int>(row));
        }
        for (int bit = 16; bit > 0; bit /= 2) {
            largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, bit));
        }
        return largest;
    }

    template <Narrow kFormat>
    __device__ void round(float largest) const {
        Rounding<kFormat> sums(row_scale<kFormat>(largest));
        for (int64_t i = lane; i < job.depth; i += 32) {
            job.rounded[row * job.depth + i] = sums.add(i < job.d_in ? centred(i) : 0.0f);
        }
        sums.sum();
        if (lane == 0) {
            job.bounds[row] = row_bound(sums, job.d_in);
        }
    }
};

__global__ void __launch_bounds__(kThreads) prepare_rows_kernel(PrepareRows job) {
    const Row row{job, static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / 32,
                  static_cast<int>(threadIdx.x) % 32};
    if (row.row >= job.rows) {
        return; // the same for the whole warp
    }
    const float largest = row.check_and_centre();
    if (job.rounded == nullptr) {
        return;
    }
    if (job.format == Narrow::kHalf) {
        row.round<Narrow::kHalf>(largest);
    } else {
        row.round<Narrow::kBf16>(largest);
    }
}

} // namespace

cudaError_t launch_prepare_rows(const PrepareRows &rows, cudaStream_t stream) {
    return launch(prepare_rows_kernel, divide_up(rows.rows, kRowsPerBlock), stream, rows);
}

void require_finite_on_device(const Params &params, const float *matrix, int64_t rows, int64_t columns, int *bad_row) {
    PrepareRows job{};
    job.x = matrix;
    job.rows = rows;
    job.d_in = columns;
    job.bad_row = bad_row;
    check(launch_prepare_rows(job, params.context->stream), "checking targets");
}

} // namespace sae::cuda
