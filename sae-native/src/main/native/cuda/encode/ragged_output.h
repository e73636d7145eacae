/* ragged_output.h: where ragged rows go that sae_encode returns. */
#ifndef SAE_CUDA_RAGGED_OUTPUT_H
#define SAE_CUDA_RAGGED_OUTPUT_H

#include "ragged.h"

namespace sae::cuda {

struct RaggedOutput {
    Staged<int> offsets;
    Staged<int> indices;
    Staged<float> values;

    RaggedOutput(Carver &carver, int64_t rows, const sae_latents &into)
        : offsets(carver, *static_cast<const Buffer *>(into.offsets), rows + 1),
          indices(carver, *static_cast<const Buffer *>(into.indices), into.room),
          values(carver, *static_cast<const Buffer *>(into.values), into.room) {}

    Ragged rows(int64_t *starts) const {
        return {starts, offsets.address, indices.address, values.address, indices.count};
    }

    /* The first `entries` only; nothing if they do not fit. */
    void download(int64_t entries) const {
        if (entries > indices.count) {
            return;
        }
        Staged<int> kept_indices = indices;
        Staged<float> kept_values = values;
        kept_indices.count = entries;
        kept_values.count = entries;
        offsets.download();
        kept_indices.download();
        kept_values.download();
    }
};

/* Waits for everything queued. */
inline int64_t read_start(const Context &context, const int64_t *start) {
    int64_t value = 0;
    check(cudaMemcpyAsync(&value, start, sizeof value, cudaMemcpyDeviceToHost, context.stream), "reading a count");
    context.synchronize();
    return value;
}

} // namespace sae::cuda
#endif
