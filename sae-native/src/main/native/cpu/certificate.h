/* certificate.h: a batch and an encoder in the screen's format, and how far its products may be from float32's. */
#ifndef SAE_CPU_CERTIFICATE_H
#define SAE_CPU_CERTIFICATE_H

#include <optional>

#include "operations.h"

namespace sae::cpu {

/* The rows are in context.rounded [rows, depth], the encoder in its shadow. The screen's value plus bias, times the rank,
 * differs from any float32 evaluation of the pre-activation times the rank by at most norm[row] margin[latent]. */
struct Certificate {
    int64_t depth;
    std::vector<float> norm;   /* [rows] */
    std::vector<float> margin; /* [latents] */
};

/* Nothing: there is no screen here, it would not pay, or the batch cannot be bounded. */
std::optional<Certificate> certify(Context &context, const Encoder &encoder, const float *input, int64_t rows);

int64_t round_up(int64_t n, int64_t to);

/* The screen's values for rows [first, first + count) and latents [latent, latent + width), latent a multiple of
 * kPanel * kPanelsAtOnce, c_row too; it writes whole panels. */
void screen_tile(const Context &context, const Encoder &encoder, const Certificate &certificate, int64_t first,
                 int64_t count, int64_t latent, int64_t width, float *c, int64_t c_row);

} // namespace sae::cpu
#endif
