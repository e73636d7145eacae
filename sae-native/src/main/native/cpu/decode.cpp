/*
 * decode.cpp: x_hat = sum_j values_j W_dec[indices_j] + b_dec.
 *
 *   indices, values [rows, k], W_dec [d_sae, d_in] -> x_hat float32 [rows, d_in]
 *   FLOPs 2 rows k d_in; reads rows k d_in floats of W_dec, mostly from cache when k rows >> d_sae.
 * Deterministic: a row's terms are added in the order given, four at a time.
 */
#include "operations.h"

namespace sae::cpu {

void decode(Params &params, const int32_t *indices, const float *values, int64_t rows, int64_t k, float *x_hat) {
    constexpr int64_t kRows = 32;
    Context &context = params.context;
    const int64_t d_sae = params.d_sae;
    const auto outside = [d_sae](int32_t index) { return index < 0 || index >= d_sae; };
    const int32_t *bad = std::find_if(indices, indices + rows * k, outside);
    if (bad != indices + rows * k) {
        require(false, ("indices in [0, d_sae = " + std::to_string(d_sae) + ")").c_str(),
                std::to_string(*bad) + " in row " + std::to_string((bad - indices) / k));
    }
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            float *out = x_hat + row * params.d_in;
            std::copy_n(params.b_dec(), params.d_in, out);
            context.kernels.gather(out, params.d_in, params.w_dec(), indices + row * k, values + row * k, k);
        }
    });
}

} // namespace sae::cpu
