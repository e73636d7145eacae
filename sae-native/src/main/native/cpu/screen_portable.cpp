/* screen_portable.cpp: screen.h in plain C++, over a matrix unit in plain C++: what the certificate allows, not how fast. */
#include <cstring>

#include "amx.h"

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

/* The matrix unit of amx.h in plain C++: each pair of a row is added up over the depth before the two sums are added, as the
 * processor does. */
struct Unit {
    static constexpr int64_t kColumns = amx::kTileRows;

    struct Register {
        int64_t rows;
        union {
            float sums[amx::kTileRows][kColumns];
            uint16_t halves[amx::kTileRows][amx::kTileDepth];
        };
    };
    static thread_local Register registers[amx::kTiles];

    static void configure(int64_t first, int64_t second) {
        for (const amx::Tile tile : {amx::kSums00, amx::kSums01, amx::kRows0}) {
            registers[tile].rows = first;
        }
        for (const amx::Tile tile : {amx::kSums10, amx::kSums11, amx::kRows1}) {
            registers[tile].rows = second;
        }
        registers[amx::kPanel0].rows = registers[amx::kPanel1].rows = amx::kTileRows;
    }
    static void release() {}
    template <amx::Tile T>
    static void zero() {
        std::memset(registers[T].sums, 0, sizeof registers[T].sums);
    }
    template <amx::Tile T>
    static void load(const uint16_t *from, int64_t stride) {
        for (int64_t row = 0; row < registers[T].rows; row++) {
            std::memcpy(registers[T].halves[row], from + row * stride / 2, amx::kRowBytes);
        }
    }
    template <amx::Tile T>
    static void store(float *to, int64_t stride) {
        for (int64_t row = 0; row < registers[T].rows; row++) {
            std::memcpy(to + row * stride / 4, registers[T].sums[row], amx::kRowBytes);
        }
    }
    template <amx::Tile Sums, amx::Tile Rows, amx::Tile Panel>
    static void multiply() {
        for (int64_t row = 0; row < registers[Sums].rows; row++) {
            float even[kColumns] = {};
            float odd[kColumns] = {};
            for (int64_t pair = 0; pair < amx::kTileDepth / 2; pair++) {
                const uint16_t *weights = registers[Panel].halves[pair];
                const float x0 = from_bfloat16(registers[Rows].halves[row][2 * pair]);
                const float x1 = from_bfloat16(registers[Rows].halves[row][2 * pair + 1]);
                for (int64_t column = 0; column < kColumns; column++) {
                    even[column] += x0 * from_bfloat16(weights[2 * column]);
                    odd[column] += x1 * from_bfloat16(weights[2 * column + 1]);
                }
            }
            for (int64_t column = 0; column < kColumns; column++) {
                registers[Sums].sums[row][column] += even[column] + odd[column];
            }
        }
    }
};
thread_local Unit::Register Unit::registers[amx::kTiles];

} // namespace

const ScreenKernels screen_kernels = {"portable", round_row, pack_panel, amx::multiply<Unit>};

} // namespace sae::cpu::portable
