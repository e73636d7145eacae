/*
 * memory_plan.h: how many bytes of the device an SAE and its trainer take, known before anything is allocated.
 *
 *   parameters     4 (2 d_sae d_in + d_sae + d_in)                                    float32
 *   shadow         2 d_sae D + 12 (d_sae + G + 1)     of W_enc in bfloat16, where the encoder screens or precision=bf16;
 *                  D = d_in rounded up to 64, G = d_sae / 256 rounded up
 *                  2 d_sae D more of W_dec with precision=bf16
 *   trainer        2 T (2 d_sae d_in) + 8 (d_sae + d_in) + 16 d_sae                   T = 4, or 2 with moments=bf16
 *                  + 4 (2 d_sae d_in + d_sae + d_in) of gradients for the plain step alone
 *
 * A step's scratch does not grow with d_sae d_in, but for 4 d_in min(d_sae / 8, 8192) bytes (step_fused.cu).
 */
#ifndef SAE_CUDA_MEMORY_PLAN_H
#define SAE_CUDA_MEMORY_PLAN_H

#include <cstdint>

namespace sae::cuda::memory {

constexpr int64_t params_bytes(int64_t d_in, int64_t d_sae) { return 4 * (2 * d_sae * d_in + d_sae + d_in); }

constexpr int64_t rounded_bytes(int64_t d_in, int64_t d_sae) { return 2 * d_sae * ((d_in + 63) / 64 * 64); }

constexpr int64_t shadow_bytes(int64_t d_in, int64_t d_sae) {
    return rounded_bytes(d_in, d_sae) + 12 * (d_sae + (d_sae + 255) / 256 + 1);
}

constexpr int64_t trainer_bytes(int64_t d_in, int64_t d_sae, bool bf16_moments, bool fused) {
    const int64_t moments = 2 * (bf16_moments ? 2 : 4) * 2 * d_sae * d_in + 8 * (d_sae + d_in);
    const int64_t counters = 16 * d_sae;
    return moments + counters + (fused ? 0 : params_bytes(d_in, d_sae));
}

/* d_sae 2^20 at d_in 4096: 34.4 GB of parameters, 8.6 GB of shadow, 68.7 GB of float32 moments, 34.4 GB of bfloat16 ones. */
static_assert(params_bytes(4096, 1 << 20) == 34363949056);
static_assert(shadow_bytes(4096, 1 << 20) == 8602566668);
static_assert(trainer_bytes(4096, 1 << 20, false, true) == 68744675328);
static_assert(trainer_bytes(4096, 1 << 20, true, true) == 34384936960);

} // namespace sae::cuda::memory
#endif
