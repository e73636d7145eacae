/* gather_rows.cu: sae_gather_rows; definition and cost are in gather_rows.cuh. */
#include "gather_rows.cuh"

#include "operations.h"

namespace sae::cuda {
namespace {

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
