/*
 * csc.cu: the kept values of a batch, listed by latent (compressed sparse columns).
 *
 *   order[offsets[j] .. offsets[j + 1])  = the entries e = row * k + slot of latent j with values[e] > 0, ascending
 *
 * in:  indices int32 [rows, k], values float32 [rows, k]
 * out: order uint32 [rows k], sorted uint32 [rows k]: the latent at each position, offsets int64 [d_sae + 1]
 * scratch: keys_in, entries_in uint32 [rows k], and the temporary storage of CUB's radix sort
 * Entries of value 0 get the key d_sae, after every latent's. The sort is stable and keys are integers, so each list is
 * in row order: sums along a list have the same order in every run.
 * Launch: a thread per entry; CUB's radix sort over the bits of d_sae; a thread per offset (binary search).
 * Bytes about 16 rows k per sorted digit of 8 bits. Not yet run on a GPU.
 */
#include "csc.h"

#include <cub/device/device_radix_sort.cuh>

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    fill_keys_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t entries, int64_t d_sae,
                     uint32_t *__restrict__ keys, uint32_t *__restrict__ entry_ids) {
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (entry < entries) {
        keys[entry] = static_cast<uint32_t>(values[entry] > 0.0f ? indices[entry] : d_sae);
        entry_ids[entry] = static_cast<uint32_t>(entry);
    }
}

/* offsets[j] = the number of sorted keys below j. */
__global__ void __launch_bounds__(kThreads) find_offsets_kernel(const uint32_t *__restrict__ sorted, int64_t entries,
                                                                int64_t d_sae, int64_t *__restrict__ offsets) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (latent > d_sae) {
        return;
    }
    int64_t low = 0;
    int64_t high = entries;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (sorted[middle] < latent) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    offsets[latent] = low;
}

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
