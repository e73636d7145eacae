/* k_schedule.h: the k of a step where it changes over the first ones (sae_abi.h: SAE_OPT_INITIAL_K). */
#ifndef SAE_K_SCHEDULE_H
#define SAE_K_SCHEDULE_H

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../include/sae_abi.h"

namespace sae {

struct KSchedule {
    int64_t initial;
    int64_t last;
    int64_t decay_steps; /* 0: k is always the last */

    explicit KSchedule(const double *options)
        : initial(static_cast<int64_t>(options[SAE_OPT_INITIAL_K])), last(static_cast<int64_t>(options[SAE_OPT_K])),
          decay_steps(static_cast<int64_t>(options[SAE_OPT_K_DECAY_STEPS])) {}

    /* K of the step that follows this many. */
    int64_t after(int64_t steps) const {
        const int64_t before = std::max<int64_t>(0, steps - 1);
        if (before >= decay_steps) {
            return last;
        }
        const double progress = static_cast<double>(before) / static_cast<double>(decay_steps);
        return std::llrint(static_cast<double>(initial) * (1 - progress) + static_cast<double>(last) * progress);
    }
};

} // namespace sae
#endif
