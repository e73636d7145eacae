/*
 * list_latents.cu: the latents of a batch that a step with SAE_THRESHOLD_RULE needs, as ragged rows in the order of latents:
 * those above their threshold, those within the bandwidth below it, or those whose gate is open (list_latents.h).
 *
 * in:  products float32 [rows, m] of a chunk of rows with all latents; parameters float32 [m]
 * out: counts int32 [rows]; then, from running sums of them (encode/ragged.cu), the entries
 * Bytes: 4 rows m for each of the two passes, the second from L2 (a chunk is 32 MiB); 12 an entry, 16 gated.
 * Launch: a block of 256 threads per row. Deterministic: places follow from running sums. Not yet run on a GPU.
 */
#include "list_latents.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    count_listed_kernel(const float *__restrict__ scores, int64_t first, int64_t d_sae, Listing listing,
                        int *__restrict__ kept) {
    const int64_t row = blockIdx.x;
    int own = 0;
    for (int64_t latent = threadIdx.x; latent < d_sae; latent += kThreads) {
        float value = 0.0f;
        float gate = 0.0f;
        own += listing(scores[row * d_sae + latent], latent, value, gate) ? 1 : 0;
    }
    int all = 0;
    block_scan(own, all);
    if (threadIdx.x == 0) {
        kept[first + row] = all;
    }
}

__global__ void __launch_bounds__(kThreads) list_latents_kernel(const float *__restrict__ scores, int64_t first,
                                                                int64_t d_sae, Listing listing, ListedEntries into) {
    const int64_t row = blockIdx.x;
    int64_t at = into.starts[first + row];
    for (int64_t tile = 0; tile < d_sae; tile += kThreads) {
        const int64_t latent = tile + threadIdx.x;
        float value = 0.0f;
        float gate = 0.0f;
        const bool listed = latent < d_sae && listing(scores[row * d_sae + latent], latent, value, gate);
        int all = 0;
        const int64_t place = at + block_scan<int>(listed ? 1 : 0, all);
        if (listed && place < into.room) {
            into.indices[place] = static_cast<int>(latent);
            into.values[place] = value;
            into.row_of[place] = static_cast<uint32_t>(first + row);
            if (into.gates != nullptr) {
                into.gates[place] = gate;
            }
        }
        at += all;
    }
}

} // namespace

cudaError_t launch_count_listed(const float *scores, int64_t first, int64_t rows, int64_t d_sae, const Listing &listing,
                                int *kept, cudaStream_t stream) {
    return launch(count_listed_kernel, rows, stream, scores, first, d_sae, listing, kept);
}

cudaError_t launch_list_latents(const float *scores, int64_t first, int64_t rows, int64_t d_sae, const Listing &listing,
                                const ListedEntries &into, cudaStream_t stream) {
    return launch(list_latents_kernel, rows, stream, scores, first, d_sae, listing, into);
}

} // namespace sae::cuda
