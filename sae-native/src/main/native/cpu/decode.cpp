/*
 * decode.cpp: x_hat = sum_j values_j W_dec[indices_j] + b_dec + x W_skip^T.
 *
 *   rows of latents, W_dec [d_sae, d_out] -> x_hat float32 [rows, d_out]
 *   FLOPs 2 entries d_out; reads entries d_out floats of W_dec, mostly from cache when there are more than d_sae.
 * Deterministic: a row's terms are added in the order given, four at a time.
 */
#include "operations.h"

namespace sae::cpu {
namespace {

void require_rows(const Latents &latents, int64_t rows, int64_t d_sae) {
    for (int64_t row = 0; row < rows; row++) {
        const int64_t begin = latents.begin(row);
        const int64_t end = latents.end(row);
        if (begin < 0 || begin > end || end > latents.room) {
            require(false, ("offsets that ascend within [0, " + std::to_string(latents.room) + "]").c_str(),
                    std::to_string(begin) + " and " + std::to_string(end) + " in row " + std::to_string(row));
        }
        for (int64_t at = begin; at < end; at++) {
            const int32_t index = latents.indices[at];
            if (index < 0 || index >= d_sae) {
                require(false, ("indices in [0, d_sae = " + std::to_string(d_sae) + ")").c_str(),
                        std::to_string(index) + " in row " + std::to_string(row));
            }
        }
    }
}

} // namespace

void decode(Params &params, const Latents &latents, int64_t rows, const float *x, float *x_hat) {
    constexpr int64_t kRows = 32;
    Context &context = params.context;
    const int64_t d_out = params.d_out;
    require_rows(latents, rows, params.d_sae);
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t, int worker) {
        for (int64_t row = first; row < last; row++) {
            const int64_t begin = latents.begin(row);
            float *out = x_hat + row * d_out;
            std::copy_n(params.b_dec(), d_out, out);
            context.kernels.gather(out, d_out, params.w_dec(), latents.indices + begin, latents.values + begin,
                                   latents.end(row) - begin);
        }
        if (x != nullptr) {
            context.multiply({last - first, d_out, params.d_in, x + first * params.d_in, params.d_in, 1,
                              params.tensors[SAE_W_SKIP].data(), 1, params.d_in, x_hat + first * d_out, d_out, true},
                             worker);
        }
    });
}

} // namespace sae::cpu
