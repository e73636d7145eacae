/* params.cpp: the tensors of one SAE. */
#include "operations.h"

namespace sae::cpu {

Params::Params(Context &owner, int64_t width, int64_t output, int64_t latents, int32_t options)
    : context(owner), d_in(width), d_out(output), d_sae(latents), flags(options) {
    tensors[SAE_W_ENC] = Block<float>(d_in * d_sae);
    tensors[SAE_B_ENC] = Block<float>(d_sae);
    tensors[SAE_W_DEC] = Block<float>(d_out * d_sae);
    tensors[SAE_B_DEC] = Block<float>(d_out);
    if ((flags & SAE_THRESHOLDS) != 0) {
        tensors[SAE_THRESHOLD] = Block<float>(d_sae);
    }
    if ((flags & SAE_GATED) != 0) {
        tensors[SAE_R_MAG] = Block<float>(d_sae);
        tensors[SAE_B_MAG] = Block<float>(d_sae);
    }
    if ((flags & SAE_SKIP) != 0) {
        tensors[SAE_W_SKIP] = Block<float>(d_in * d_out);
    }
}

int64_t Params::live_bytes() const {
    int64_t bytes = 0;
    for (const Block<float> &tensor : tensors) {
        bytes += tensor.bytes();
    }
    return bytes;
}

} // namespace sae::cpu
