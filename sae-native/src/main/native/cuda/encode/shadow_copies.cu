/* shadow_copies.cu: the copies in 16 bits of the weights that parameters keep, and when they are rebuilt. */
#include "shadow_copies.h"

#include "../device/memory_plan.h"
#include "shadow.h"

namespace sae::cuda {
namespace {

constexpr int64_t kLeastDepth = 32;    // narrower activations are not screened
constexpr int64_t kLeastLatents = 512; // below this there is nothing to gain

} // namespace

bool has_shadow(const Params &params) { return params.shadow.rounded.bytes() > 0; }

int64_t shadow_bytes(const Params &params) {
    const Context &context = *params.context;
    const bool screened =
        context.scoring != Scoring::kDense && params.d_in >= kLeastDepth && params.d_sae >= kLeastLatents;
    const bool wanted = context.precision == Precision::kBf16 || screened;
    return wanted ? memory::shadow_bytes(params.d_in, params.d_sae) : 0;
}

int64_t rounded_decoder_bytes(const Params &params) {
    return params.context->precision == Precision::kBf16 ? memory::rounded_bytes(params.d_out, params.d_sae) : 0;
}

void make_shadow(Params &params) {
    if (rounded_decoder_bytes(params) > 0) {
        params.rounded_decoder.rows = DeviceMemory(rounded_decoder_bytes(params));
    }
    const int64_t bytes = shadow_bytes(params);
    if (bytes > 0) {
        const int64_t rounded = memory::rounded_bytes(params.d_in, params.d_sae);
        params.shadow.rounded = DeviceMemory(rounded);
        params.shadow.bounds = DeviceMemory(bytes - rounded);
        static_assert(sizeof(LatentBound) == 12 && kLatentGroup == 256 && kDepthStep == 64, "must match memory_plan.h");
    }
}

void refresh_shadow(const Params &params) {
    if (has_shadow(params) && !params.shadow.current) {
        check(launch_round_latents(params.tensor(SAE_W_ENC), params.tensor(SAE_B_ENC), params.d_in, shadow_view(params),
                                   params.context->stream),
              "rounding the encoder");
        params.shadow.current = true;
    }
}

Gathered gathered_decoder(const Params &params) {
    const DeviceMemory &rounded = params.rounded_decoder.rows;
    if (rounded.bytes() == 0) {
        return {params.tensor(SAE_W_DEC), params.d_out, false};
    }
    const int64_t depth = round_up(params.d_out, kDepthStep);
    if (!params.rounded_decoder.current) {
        check(launch_round_matrix(params.tensor(SAE_W_DEC), params.d_sae, params.d_out, rounded.as<uint16_t>(), depth,
                                  params.context->stream),
              "rounding the decoder");
        params.rounded_decoder.current = true;
    }
    return {rounded.as<void>(), depth, true};
}

void mark_changed(const Params &params) {
    params.shadow.current = false;
    params.rounded_decoder.current = false;
}

Narrow narrow_format(const Context &context) {
    return context.precision == Precision::kFloat32 ? Narrow::kHalf : Narrow::kBf16;
}

ShadowView shadow_view(const Params &params) {
    auto *latents = params.shadow.bounds.as<LatentBound>();
    return {params.shadow.rounded.as<uint16_t>(),
            latents,
            latents == nullptr ? nullptr : latents + params.d_sae,
            params.d_sae,
            round_up(params.d_in, kDepthStep),
            narrow_format(*params.context)};
}

} // namespace sae::cuda
