/*
 * screen.h: pre-activations in bfloat16 with a certified error bound, where the processor multiplies bfloat16
 * at a higher rate than float32. They only say which latents cannot be among the k largest or above a
 * threshold.
 */
#ifndef SAE_CPU_SCREEN_H
#define SAE_CPU_SCREEN_H

#include <cstdint>

namespace sae::cpu {

constexpr int64_t kPanel = 16;       /* latents side by side in packed weights */
constexpr int64_t kPanelsAtOnce = 2; /* a product takes this many panels at a time */
constexpr int64_t kScreenDepth = 32; /* bfloat16 rows are zero-padded to a multiple of this */

struct Rounding {
    double error;   /* |x - rounded|^2 */
    double rounded; /* |rounded|^2 */
};

struct ScreenKernels {
    const char *name; /* of option screen */
    /* n floats to bfloat16, `depth` with the padding */
    Rounding (*round_row)(const float *x, int64_t n, uint16_t *out, int64_t depth);
    /* count <= kPanel rows of n floats to a panel [depth / 2][kPanel][2]; roundings: count of them */
    void (*pack_panel)(const float *rows, int64_t count, int64_t n, uint16_t *panel, int64_t depth,
                       Rounding *roundings);
    /* c [rows, panels * kPanel] = a [rows, depth] x panels; panels is a multiple of kPanelsAtOnce, c_row of kPanel */
    void (*multiply)(const uint16_t *a, int64_t rows, const uint16_t *panel, int64_t panels, int64_t depth, float *c,
                     int64_t c_row);
};

namespace avx512bf16 {
extern const ScreenKernels screen_kernels;
Rounding round_row(const float *x, int64_t n, uint16_t *out, int64_t depth);
void pack_panel(const float *rows, int64_t count, int64_t n, uint16_t *panel, int64_t depth, Rounding *roundings);
} // namespace avx512bf16
namespace amx {
extern const ScreenKernels screen_kernels;
}
namespace portable {
extern const ScreenKernels screen_kernels; /* slow: so that what uses a screen can be tested on any processor */
}

} // namespace sae::cpu
#endif
