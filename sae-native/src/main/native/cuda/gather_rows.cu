/*
 * gather_rows.cu: gathers batches from a shuffled block of rows, on the device.
 *
 *   into[i] = factor from[rows[i]], the product in double; NaN where rows[i] is outside [0, from_rows)
 *
 * in:  from float32 [from_rows, columns], rows int32 [count]
 * out: float32 [count, columns]
 * Bytes: 8 count columns, all of them streamed: from is far larger than L2. Launch: one warp per row, 8 rows per block
 * of 256 threads, Width columns per lane in turn. Deterministic: element-wise. Not measured yet.
 */
#include "device/reduce.cuh"
#include "device/vectors.cuh"
#include "operations.h"

namespace sae::cuda {
namespace {

template <int Width>
__global__ void __launch_bounds__(kThreads)
    gather_rows_kernel(const float *__restrict__ from, int64_t from_rows, int64_t columns, const int *__restrict__ rows,
                       int64_t count, double factor, float *__restrict__ into) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (row >= count) {
        return;
    }
    const int64_t number = rows[row];
    const bool there = number >= 0 && number < from_rows;
    for (int64_t column = lane * Width; column < columns; column += kWarp * Width) {
        float values[Width];
        if (there) {
            load_stream(from + number * columns + column, values);
        }
#pragma unroll
        for (int at = 0; at < Width; at++) {
            values[at] = there ? static_cast<float>(values[at] * factor) : nanf("");
        }
        store_stream(into + row * columns + column, values);
    }
}

struct GatherScratch {
    Staged<float> from;
    Staged<int> rows;
    Staged<float> into;

    GatherScratch(Carver &carver, int64_t from_count, int64_t rows_count, int64_t into_count, const Buffer &from_,
                  const Buffer &rows_, const Buffer &into_)
        : from(carver, from_, from_count), rows(carver, rows_, rows_count), into(carver, into_, into_count) {}
};

} // namespace

sae_status gather_rows(void *handle, void *from, int64_t from_rows, int64_t columns, void *rows, int64_t first,
                       int64_t count, double factor, void *into) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        Buffer &numbers = *static_cast<Buffer *>(rows);
        Buffer &source = *static_cast<Buffer *>(from);
        const auto scratch = context.scratch.make<GatherScratch>(from_rows * columns, first + count, count * columns,
                                                                 source, numbers, *static_cast<Buffer *>(into));
        const auto kernel = columns % 4 == 0 ? gather_rows_kernel<4> : gather_rows_kernel<1>;
        check(launch(kernel, divide_up(count, kWarps), context.stream, scratch.from.upload(), from_rows, columns,
                     scratch.rows.upload() + first, count, factor, scratch.into.address),
              "gathering rows");
        source.mark_read();
        numbers.mark_read();
        scratch.into.download();
    });
}

} // namespace sae::cuda
