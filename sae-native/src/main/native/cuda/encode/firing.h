/* firing.h: which latents fire, and with which value, for the rules with ragged rows (sae_encode). */
#ifndef SAE_CUDA_FIRING_H
#define SAE_CUDA_FIRING_H

#include "../device/device.h"

namespace sae::cuda {

/* Of a latent's product p with a row, z_pre = p + bias:
 *   gated        max(0, exp(r_mag) p + b_mag) where z_pre > 0
 *   otherwise    z_pre where it is above 0 and above the latent's threshold; of that, z_pre times the latent's norm where it
 *                is above *above */
struct Firing {
    const float *bias;      // [m]
    const float *threshold; // [m]; null: 0
    const float *r_mag;     // [m]; null: not gated
    const float *b_mag;
    const float *above;           // on the device; null: 0
    const float *norms = nullptr; // [m]; null: 1

    /* 0 where the latent does not fire; never negative. */
    __device__ float operator()(float product, int64_t latent) const {
        const float z = product + bias[latent];
        if (!(z > 0.0f)) {
            return 0.0f;
        }
        if (r_mag != nullptr) {
            const float gated = fmaf(product, expf(r_mag[latent]), b_mag[latent]);
            return gated > 0.0f ? gated : 0.0f;
        }
        const float ranked = norms == nullptr ? z : z * norms[latent];
        const bool passed = (threshold == nullptr || z > threshold[latent]) && (above == nullptr || ranked > *above);
        return passed ? ranked : 0.0f;
    }
};

} // namespace sae::cuda
#endif
