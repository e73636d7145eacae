/* screens.h: which screen (screen.h) a context has. */
#ifndef SAE_CPU_SCREENS_H
#define SAE_CPU_SCREENS_H

#include <string>

#include "screen.h"

namespace sae::cpu {

/* The one that pays on this processor; null: none. */
const ScreenKernels *best_screen();
/* off (null), portable, avx512bf16 or amx; SAE_UNAVAILABLE if this machine lacks it. */
const ScreenKernels *screen_named(const std::string &name);
/* The processor has AMX and the kernel does not let this process use it. */
bool amx_refused();

} // namespace sae::cpu
#endif
