/* list_latents.h: launches that list what SAE_THRESHOLD_RULE trains; definitions and cost are in list_latents.cu. */
#ifndef SAE_CUDA_LIST_LATENTS_H
#define SAE_CUDA_LIST_LATENTS_H

#include "../device/device.h"

namespace sae::cuda {

/* Of a latent's product p with a row, z_pre = p + bias: listed with value
 *   gated        max(0, exp(r_mag) p + b_mag) and gate z_pre where z_pre > 0
 *   otherwise    z_pre where it is above 0 and above the threshold; 0 where the threshold is trained and z_pre less than
 *                half the bandwidth below it */
struct Listing {
    const float *bias;      // [m]
    const float *threshold; // [m]; null: 0, and not trained
    float half_bandwidth;
    const float *r_mag; // [m]; null: not gated
    const float *b_mag;

    __device__ inline bool operator()(float product, int64_t latent, float &value, float &gate) const {
        const float z = product + bias[latent];
        if (r_mag != nullptr) {
            gate = z;
            value = fmaxf(fmaf(product, expf(r_mag[latent]), b_mag[latent]), 0.0f);
            return z > 0.0f;
        }
        const float bar = threshold == nullptr ? 0.0f : threshold[latent];
        const bool above = z > bar && z > 0.0f;
        value = above ? z : 0.0f;
        return above || (threshold != nullptr && bar - z < half_bandwidth);
    }
};

/* Entries in the making; those at `room` and beyond are counted, not written. */
struct ListedEntries {
    const int64_t *starts; // [rows + 1]
    int *indices;          // [room]
    float *values;
    float *gates; // null: not gated
    uint32_t *row_of;
    int64_t room;
};

/* scores [rows, d_sae]: products of rows [first, first + rows) with all latents, without bias. kept[first + i] = entries */
cudaError_t launch_count_listed(const float *scores, int64_t first, int64_t rows, int64_t d_sae, const Listing &listing,
                                int *kept, cudaStream_t stream);
cudaError_t launch_list_latents(const float *scores, int64_t first, int64_t rows, int64_t d_sae, const Listing &listing,
                                const ListedEntries &into, cudaStream_t stream);

} // namespace sae::cuda
#endif
