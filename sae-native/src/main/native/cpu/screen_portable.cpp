/* screen_portable.cpp: screen.h in plain C++: what the certificate allows, not how fast. */
#include "screen.h"

#include <cstring>

namespace sae::cpu::portable {
namespace {

uint16_t to_bfloat16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16); /* to nearest, ties to even; finite */
}

float from_bfloat16(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

Rounding round_row(const float *x, int64_t n, uint16_t *out, int64_t depth) {
    Rounding rounding = {0, 0};
    for (int64_t i = 0; i < depth; i++) {
        out[i] = i < n ? to_bfloat16(x[i]) : 0;
        const double back = static_cast<double>(from_bfloat16(out[i]));
        const double lost = i < n ? static_cast<double>(x[i]) - back : 0;
        rounding.error += lost * lost;
        rounding.rounded += back * back;
    }
    return rounding;
}

void pack_panel(const float *rows, int64_t count, int64_t n, uint16_t *panel, int64_t depth, Rounding *roundings) {
    std::memset(panel, 0, depth * kPanel * sizeof *panel);
    for (int64_t row = 0; row < count; row++) {
        roundings[row] = {0, 0};
        for (int64_t i = 0; i < n; i++) {
            const Rounding one = round_row(rows + row * n + i, 1, panel + (i / 2 * kPanel + row) * 2 + i % 2, 1);
            roundings[row].error += one.error;
            roundings[row].rounded += one.rounded;
        }
    }
}

void multiply(const uint16_t *a, int64_t rows, const uint16_t *panel, int64_t panels, int64_t depth, float *c,
              int64_t c_row) {
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t latent = 0; latent < panels * kPanel; latent++) {
            const uint16_t *pairs = panel + latent / kPanel * kPanel * depth + latent % kPanel * 2;
            float sum = 0;
            for (int64_t i = 0; i < depth; i++) {
                sum += from_bfloat16(a[row * depth + i]) * from_bfloat16(pairs[i / 2 * kPanel * 2 + i % 2]);
            }
            c[row * c_row + latent] = sum;
        }
    }
}

} // namespace

const ScreenKernels screen_kernels = {round_row, pack_panel, multiply};

} // namespace sae::cpu::portable
