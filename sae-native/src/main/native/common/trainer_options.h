/* trainer_options.h: the SAE_OPT_* values, with defaults filled in and checked. */
#ifndef SAE_TRAINER_OPTIONS_H
#define SAE_TRAINER_OPTIONS_H

#include <array>

#include "sae_abi.h"

namespace sae {

constexpr int kTrainerOptions = SAE_OPT_COUNT;

std::array<double, kTrainerOptions> trainer_options(const int32_t *keys, const double *values, int64_t count,
                                                    int64_t d_sae);

} // namespace sae
#endif
