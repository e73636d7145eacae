/* csc.cu: lists kept values by latent with CUB's stable radix sort; definitions are in csc.cuh. */
#include "csc.cuh"

#include <cub/device/device_radix_sort.cuh>

#include "kernels.h"

namespace sae::cuda {
namespace {

/* Bits that hold every key, d_sae included. */
int key_bits(int64_t d_sae) {
    int bits = 1;
    while (bits < 32 && d_sae >> bits != 0) {
        bits++;
    }
    return bits;
}

cudaError_t sort_pairs(void *temporary, size_t &bytes, const uint32_t *keys_in, uint32_t *keys_out,
                       const uint32_t *entries_in, uint32_t *entries_out, int64_t entries, int64_t d_sae,
                       cudaStream_t stream) {
    return cub::DeviceRadixSort::SortPairs(temporary, bytes, keys_in, keys_out, entries_in, entries_out,
                                           static_cast<uint32_t>(entries), 0, key_bits(d_sae), stream);
}

} // namespace

cudaError_t csc_scratch(int64_t entries, int64_t d_sae, int64_t *bytes) {
    size_t sort_bytes = 0;
    const cudaError_t error =
        sort_pairs(nullptr, sort_bytes, nullptr, nullptr, nullptr, nullptr, entries, d_sae, nullptr);
    *bytes = static_cast<int64_t>(sort_bytes);
    return error;
}

cudaError_t launch_csc(const int *indices, const float *values, int64_t entries, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, uint32_t *sorted, int64_t *offsets,
                       cudaStream_t stream) {
    cudaError_t error = launch(fill_keys_kernel, divide_up(entries, kThreads), stream, indices, values, entries, d_sae,
                               scratch.keys_in, scratch.entries_in);
    if (error == cudaSuccess) {
        auto sort_bytes = static_cast<size_t>(scratch.sort_bytes);
        error = sort_pairs(scratch.sort, sort_bytes, scratch.keys_in, sorted, scratch.entries_in, order, entries, d_sae,
                           stream);
    }
    if (error == cudaSuccess) {
        error = launch(find_offsets_kernel, divide_up(d_sae + 1, kThreads), stream, sorted, entries, d_sae, offsets);
    }
    return error;
}

} // namespace sae::cuda
