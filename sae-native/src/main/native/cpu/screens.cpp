/* screens.cpp: which screen a context has: the processor's best, or the one that it was asked for. */
#include "screens.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "guard.h"

namespace sae::cpu {
namespace {

#if defined(__x86_64__)

bool has_avx512bf16() { return __builtin_cpu_supports("avx512bf16"); }

bool has_amx() { return __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-tile") && has_avx512bf16(); }

/* Linux gives a process the tile registers when it asks for them, once, for all of its threads. */
bool amx_permitted() {
    constexpr int kRequestPermission = 0x1023; /* ARCH_REQ_XCOMP_PERM, asm/prctl.h */
    constexpr int kTileData = 18;              /* XFEATURE_XTILE_DATA */
    static const bool permitted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    return permitted;
}

/* Zen 4 and later multiply bfloat16 at twice the rate of float32; Intel's cores do not without AMX. */
bool avx512bf16_pays() { return has_avx512bf16() && __builtin_cpu_is("amd"); }

#else

bool has_avx512bf16() { return false; }
bool has_amx() { return false; }
bool amx_permitted() { return false; }
bool avx512bf16_pays() { return false; }

#endif

void require_processor(bool has, const std::string &with) {
    if (!has) {
        fail(SAE_UNAVAILABLE, "expected a processor with " + with + ", got one without; leave option screen out");
    }
}

} // namespace

const ScreenKernels *best_screen() {
    if (has_amx() && amx_permitted()) {
        return &amx::screen_kernels;
    }
    return avx512bf16_pays() ? &avx512bf16::screen_kernels : nullptr;
}

const ScreenKernels *screen_named(const std::string &name) {
    if (name == "off") {
        return nullptr;
    }
    if (name == portable::screen_kernels.name) {
        return &portable::screen_kernels;
    }
    if (name == avx512bf16::screen_kernels.name) {
        require_processor(has_avx512bf16(), name);
        return &avx512bf16::screen_kernels;
    }
    if (name == amx::screen_kernels.name) {
        require_processor(has_amx(), name);
        if (!amx_permitted()) {
            fail(SAE_UNAVAILABLE, "expected the kernel's permission for AMX, got a refusal; leave option screen out, "
                                  "or run Linux 5.16 or later");
        }
        return &amx::screen_kernels;
    }
    fail(SAE_INVALID_ARGUMENT, "expected option screen to be off, portable, avx512bf16 or amx, got " + name);
}

bool amx_refused() { return has_amx() && !amx_permitted(); }

} // namespace sae::cpu
