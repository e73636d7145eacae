/* screen_cases.cpp: every screen that this processor runs, against sums in double: a unit's registers hold 16 rows of 32 halves, so
 * the shapes end everywhere in and beside them. */
#include "screen_cases.h"

#include "../../../main/native/cpu/screens.h"
#include "guard.h"
#include "harness.h"

namespace test {
namespace {

using sae::cpu::kPanel;
using sae::cpu::kPanelsAtOnce;
using sae::cpu::kScreenDepth;
using sae::cpu::ScreenKernels;

float from_half(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

struct Product {
    std::vector<uint16_t> rows, panels;
    std::vector<float> c;
};

/* a [rows, n] times the panels of w [latents, n] */
Product multiply(const ScreenKernels &screen, const std::vector<float> &a, int64_t rows, const std::vector<float> &w,
                 int64_t latents, int64_t n) {
    const int64_t depth = (n + kScreenDepth - 1) / kScreenDepth * kScreenDepth;
    const int64_t group = kPanel * kPanelsAtOnce;
    const int64_t panels = (latents + group - 1) / group * kPanelsAtOnce;
    Product result = {std::vector<uint16_t>(rows * depth), std::vector<uint16_t>(panels * kPanel * depth),
                      std::vector<float>(rows * panels * kPanel, NAN)};
    for (int64_t row = 0; row < rows; row++) {
        screen.round_row(&a[row * n], n, &result.rows[row * depth], depth);
    }
    for (int64_t panel = 0; panel < panels; panel++) {
        const int64_t first = std::min(panel * kPanel, latents);
        sae::cpu::Rounding roundings[kPanel];
        screen.pack_panel(w.data() + first * n, std::min(kPanel, latents - first), n,
                          &result.panels[panel * kPanel * depth], depth, roundings);
    }
    screen.multiply(result.rows.data(), rows, result.panels.data(), panels, depth, result.c.data(), panels * kPanel);
    return result;
}

void test_product(const ScreenKernels &screen, int64_t rows, int64_t latents, int64_t n) {
    const std::vector<float> a = gaussian(rows * n);
    const std::vector<float> w = gaussian(latents * n);
    const Product product = multiply(screen, a, rows, w, latents, n);
    const Product plain = multiply(sae::cpu::portable::screen_kernels, a, rows, w, latents, n);
    expect(product.rows == plain.rows && product.panels == plain.panels, "the same halves");
    const int64_t depth = static_cast<int64_t>(product.rows.size()) / rows;
    const int64_t width = static_cast<int64_t>(product.c.size()) / rows;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t latent = 0; latent < width; latent++) {
            const uint16_t *pairs = &product.panels[latent / kPanel * kPanel * depth + latent % kPanel * 2];
            double sum = 0;
            double size = 0;
            for (int64_t i = 0; i < depth; i++) {
                const double term = static_cast<double>(from_half(product.rows[row * depth + i])) *
                                    static_cast<double>(from_half(pairs[i / 2 * kPanel * 2 + i % 2]));
                sum += term;
                size += std::abs(term);
            }
            const double error = std::abs(static_cast<double>(product.c[row * width + latent]) - sum);
            expect(error <= static_cast<double>(n) * size / (1 << 24), "within the bound of the certificate");
        }
    }
}

} // namespace

void test_screens() {
    for (const char *name : {"portable", "avx512bf16", "amx"}) {
        try {
            const ScreenKernels *screen = sae::cpu::screen_named(name);
            for (const int64_t rows : {1, 12, 16, 17, 31, 32, 33, 95, 96}) {
                for (const auto &[latents, n] :
                     std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {16, 31}, {33, 32}, {100, 65}, {64, 200}}) {
                    where = std::string(name) + " product " + std::to_string(rows) + " " + std::to_string(latents) +
                            " " + std::to_string(n);
                    test_product(*screen, rows, latents, n);
                }
            }
            std::printf("ran the screen %s\n", name);
        } catch (const sae::Failure &failure) {
            std::printf("skipped the screen %s: %s\n", name, failure.what());
        }
    }
}

} // namespace test
