/*
 * screen_amx.cpp: screen.h with AMX-BF16 (Sapphire Rapids and later): 16 x 16 x 32 multiply-adds an instruction, eight times
 * what AVX512-BF16 does in a cycle there. The loop is amx.h's. Rows are rounded and panels packed with AVX512-BF16, which
 * processors with AMX-BF16 have.
 *
 * NOT RUN on such a processor yet: the loop is tested over the unit of screen_portable.cpp.
 */
#include <cstring>

#include "amx.h"

namespace sae::cpu::amx {
namespace {

/* What ldtilecfg reads. */
struct alignas(64) Configuration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};
static_assert(sizeof(Configuration) == 64);

/* Each thread has registers of its own. Without this process's permission (screens.cpp) the first instruction is SIGILL. */
struct Registers {
    static void configure(int64_t first, int64_t second) {
        Configuration wanted;
        const auto set = [&](Tile tile, int64_t rows) {
            wanted.rows[tile] = static_cast<uint8_t>(rows);
            wanted.row_bytes[tile] = static_cast<uint16_t>(rows > 0 ? kRowBytes : 0);
        };
        for (const Tile tile : {kSums00, kSums01, kRows0}) {
            set(tile, first);
        }
        for (const Tile tile : {kSums10, kSums11, kRows1}) {
            set(tile, second);
        }
        set(kPanel0, kTileRows);
        set(kPanel1, kTileRows);
        asm volatile("ldtilecfg %0" : : "m"(wanted));
    }
    static void release() { asm volatile("tilerelease"); }
    template <Tile T>
    static void zero() {
        asm volatile("tilezero %%tmm%c0" : : "i"(static_cast<int>(T)));
    }
    template <Tile T>
    static void load(const uint16_t *from, int64_t stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(static_cast<int>(T)) : "memory");
    }
    template <Tile T>
    static void store(float *to, int64_t stride) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(static_cast<int>(T)) : "memory");
    }
    template <Tile Sums, Tile Rows, Tile Panel>
    static void multiply() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0"
                     :
                     : "i"(static_cast<int>(Sums)), "i"(static_cast<int>(Rows)), "i"(static_cast<int>(Panel)));
    }
};

} // namespace

const ScreenKernels screen_kernels = {"amx", avx512bf16::round_row, avx512bf16::pack_panel, multiply<Registers>};

} // namespace sae::cpu::amx
