/* shadow_copies.h: the copies in 16 bits of the weights that parameters keep, and when they are rebuilt. */
#ifndef SAE_CUDA_SHADOW_COPIES_H
#define SAE_CUDA_SHADOW_COPIES_H

#include "shadow.h"

namespace sae::cuda {

/* Whether there is a copy of W_enc. */
bool has_shadow(const Params &params);
/* Bytes of the shadow: 0 if the context or the shape does not use one. */
int64_t shadow_bytes(const Params &params);
/* Bytes of W_dec in bf16: 0 without precision=bf16. */
int64_t rounded_decoder_bytes(const Params &params);
/* Allocates both. */
void make_shadow(Params &params);
/* Of W_enc and x: halves where float32 is screened. */
Narrow narrow_format(const Context &context);
ShadowView shadow_view(const Params &params);
/* Rebuilds the shadow if the parameters have changed. select_latents does so too; call this before capturing a
 * graph. */
void refresh_shadow(const Params &params);
/* W_dec for the sparse products, up to date. */
Gathered gathered_decoder(const Params &params);
/* Marks the parameters as changed by something other than the fused step, which keeps the copies current. */
void mark_changed(const Params &params);

} // namespace sae::cuda
#endif
