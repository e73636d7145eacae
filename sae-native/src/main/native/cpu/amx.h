/*
 * amx.h: the product of screen.h on a matrix unit with eight tile registers of 16 rows of 64 bytes (Intel's AMX), written
 * over the unit: screen_amx.cpp has the processor's, screen_portable.cpp one in plain C++.
 *
 *   c [rows, latents] = a [rows, depth] x panels.  A panel's rows of pairs are what the unit wants as its second factor, so
 *   packed weights are loaded as they are. 32 rows x 32 latents at a time: four tiles of sums, two of each factor, and each
 *   load is used twice. Two panels stay in L1 while all rows of the tile pass.
 */
#ifndef SAE_CPU_AMX_H
#define SAE_CPU_AMX_H

#include <algorithm>

#include "screen.h"

namespace sae::cpu::amx {

constexpr int64_t kTileRows = 16;  /* of a register */
constexpr int64_t kTileDepth = 32; /* bfloat16 in one of its rows */
constexpr int64_t kRowBytes = 64;
static_assert(kPanel == kTileRows && kScreenDepth == kTileDepth && kPanelsAtOnce == 2);

/* The registers: sums of the first and second 16 rows with the first and second panel, and the factors. */
enum Tile { kSums00, kSums01, kSums10, kSums11, kRows0, kRows1, kPanel0, kPanel1, kTiles };

/* 16 < rows <= 32, or with Second false rows <= 16. */
template <typename Unit, bool Second>
void multiply_rows(const uint16_t *a, const uint16_t *panel, int64_t depth, float *c, int64_t c_row) {
    const int64_t stride = depth * static_cast<int64_t>(sizeof *a);
    Unit::template zero<kSums00>();
    Unit::template zero<kSums01>();
    if constexpr (Second) {
        Unit::template zero<kSums10>();
        Unit::template zero<kSums11>();
    }
    const uint16_t *other = panel + depth * kPanel;
    for (int64_t at = 0; at < depth; at += kTileDepth) {
        Unit::template load<kPanel0>(panel + at * kPanel, kRowBytes);
        Unit::template load<kPanel1>(other + at * kPanel, kRowBytes);
        Unit::template load<kRows0>(a + at, stride);
        Unit::template multiply<kSums00, kRows0, kPanel0>();
        Unit::template multiply<kSums01, kRows0, kPanel1>();
        if constexpr (Second) {
            Unit::template load<kRows1>(a + kTileRows * depth + at, stride);
            Unit::template multiply<kSums10, kRows1, kPanel0>();
            Unit::template multiply<kSums11, kRows1, kPanel1>();
        }
    }
    const int64_t c_stride = c_row * static_cast<int64_t>(sizeof *c);
    Unit::template store<kSums00>(c, c_stride);
    Unit::template store<kSums01>(c + kPanel, c_stride);
    if constexpr (Second) {
        Unit::template store<kSums10>(c + kTileRows * c_row, c_stride);
        Unit::template store<kSums11>(c + kTileRows * c_row + kPanel, c_stride);
    }
}

/* ScreenKernels::multiply */
template <typename Unit>
void multiply(const uint16_t *a, int64_t rows, const uint16_t *panel, int64_t panels, int64_t depth, float *c,
              int64_t c_row) {
    int64_t configured = 0; /* rows of a block; loading a configuration empties the registers */
    for (int64_t at = 0; at < panels; at += kPanelsAtOnce) {
        for (int64_t row = 0; row < rows; row += 2 * kTileRows) {
            const int64_t count = std::min(2 * kTileRows, rows - row);
            if (configured != count) {
                Unit::configure(std::min(count, kTileRows), std::max<int64_t>(count - kTileRows, 0));
                configured = count;
            }
            const auto block = count > kTileRows ? multiply_rows<Unit, true> : multiply_rows<Unit, false>;
            block(a + row * depth, panel + at * kPanel * depth, depth, c + row * c_row + at * kPanel, c_row);
        }
    }
    Unit::release();
}

} // namespace sae::cpu::amx
#endif
