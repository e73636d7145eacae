/* params.cpp: the four tensors of one SAE. */
#include "operations.h"

namespace sae::cpu {

Params::Params(Context &owner, int64_t width, int64_t latents, int32_t flags)
    : context(owner), d_in(width), d_sae(latents),
      subtract_b_dec((flags & SAE_SUBTRACT_B_DEC) != 0), tensors{Block<float>(width * latents), Block<float>(latents),
                                                                 Block<float>(width * latents), Block<float>(width)} {}

int64_t Params::live_bytes() const {
    int64_t bytes = 0;
    for (const Block<float> &tensor : tensors) {
        bytes += tensor.bytes();
    }
    return bytes;
}

} // namespace sae::cpu
