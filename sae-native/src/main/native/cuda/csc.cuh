/*
 * csc.cuh: the kept values of a batch, listed by latent (compressed sparse columns).
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
#ifndef SAE_CUDA_CSC_CUH
#define SAE_CUDA_CSC_CUH

#include "device.h"

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

} // namespace
} // namespace sae::cuda
#endif
