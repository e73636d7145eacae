/*
 * memory_plan.h: how many bytes of device memory an SAE and its trainer take, known before anything is allocated.
 *
 *   parameters     4 (d_sae (d_in + d_out) + d_sae + d_out + skip)                    float32
 *                  skip: d_out d_in with a linear skip; thresholds and gates: 4 d_sae each besides
 *   shadow         2 d_sae D + 12 (d_sae + G + 1)     of W_enc in 16 bits, where the encoder screens or
 *                  precision=bf16; D = d_in rounded up to 64, G = d_sae / 256 rounded up
 *                  2 d_sae D more of W_dec with precision=bf16
 *   trainer        2 T d_sae (d_in + d_out) + 8 (d_sae + d_out + skip)     of moments: T = 4, or 2 with moments=bf16;
 *                                                                          none with SAE_GRADIENTS_ONLY
 *                  with SAE_SIGNUM half of the float32 moments; with SAE_MUON no second ones of matrices, and scratch of 4 d_sae
 *                  d_in + 8 d_in^2 bytes and its partial sums (Trainer::beyond_adam)
 *                  the parameters' bytes and d_sae            of gradients: for the plain and the ragged step, and with
 *                                                             SAE_GRADIENTS_KEPT and SAE_GRADIENTS_ONLY
 *                  12 d_sae for trained thresholds; 36 d_sae for a gated SAE
 *                  16 d_sae                                   of counters
 *
 * A step's scratch does not grow with d_sae d_in, except for 4 d_in min(d_sae / 8, 8192) bytes (step_fused.cu). That of a
 * ragged step grows with its entries, which only the data says (ragged_scratch.h).
 */
#ifndef SAE_CUDA_MEMORY_PLAN_H
#define SAE_CUDA_MEMORY_PLAN_H

#include <cstdint>

namespace sae::cuda::memory {

struct Shape {
    int64_t d_in, d_out, d_sae;
    int64_t skip = 0; // elements of W_skip
    constexpr int64_t matrices() const { return d_sae * (d_in + d_out); }
};

constexpr int64_t params_bytes(const Shape &of) { return 4 * (of.matrices() + of.d_sae + of.d_out + of.skip); }

constexpr int64_t rounded_bytes(int64_t d_in, int64_t d_sae) { return 2 * d_sae * ((d_in + 63) / 64 * 64); }

constexpr int64_t shadow_bytes(int64_t d_in, int64_t d_sae) {
    return rounded_bytes(d_in, d_sae) + 12 * (d_sae + (d_sae + 255) / 256 + 1);
}

/* moment_width: 4, 2, or 0 without moments */
constexpr int64_t trainer_bytes(const Shape &of, int64_t moment_width, bool gradients) {
    const int64_t moments =
        moment_width == 0 ? 0 : 2 * moment_width * of.matrices() + 8 * (of.d_sae + of.d_out + of.skip);
    const int64_t counters = 16 * of.d_sae;
    return moments + counters + (gradients ? params_bytes(of) + of.d_sae : 0);
}

/* d_sae 2^20 at d_in 4096: 34.4 GB of parameters, 8.6 GB of shadow, 68.7 GB of float32 moments, 34.4 GB of bfloat16 ones. */
static_assert(params_bytes({4096, 4096, 1 << 20}) == 34363949056);
static_assert(shadow_bytes(4096, 1 << 20) == 8602566668);
static_assert(trainer_bytes({4096, 4096, 1 << 20}, 4, false) == 68744675328);
static_assert(trainer_bytes({4096, 4096, 1 << 20}, 2, false) == 34384936960);
static_assert(trainer_bytes({4096, 4096, 1 << 20}, 0, true) == 34381774848);

} // namespace sae::cuda::memory
#endif
