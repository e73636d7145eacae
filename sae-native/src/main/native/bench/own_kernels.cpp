/* own_kernels.cpp: two kernels of the backend on their own. The only file here that includes its headers. */
#include <algorithm>

#include "../cuda/encode/preact.h"
#include "../cuda/encode/topk.h"
#include "../cuda/operations.h"

#include "bench.h"

namespace bench {

Times own_product(const Timer &timer, const Shape &shape, void *handle) {
    const auto &params = *static_cast<sae::cuda::Params *>(handle);
    const int64_t depth = (shape.d_in + sae::cuda::kDepthStep - 1) / sae::cuda::kDepthStep * sae::cuda::kDepthStep;
    const Device x(2 * shape.rows * depth), w(2 * shape.d_sae * depth), bias(4 * shape.d_sae);
    const Device scores(4 * shape.rows * shape.d_sae);
    fill_bf16(x.as<uint16_t>(), shape.rows * depth, 11, timer.stream());
    fill_bf16(w.as<uint16_t>(), shape.d_sae * depth, 12, timer.stream());
    fill_normal(bias.as<float>(), shape.d_sae, 13, timer.stream());
    sae::cuda::Operands operands{};
    operands.x = x.as<uint16_t>();
    operands.rows = shape.rows;
    operands.w = w.as<uint16_t>();
    operands.bias = bias.as<float>();
    operands.d_sae = shape.d_sae;
    operands.depth = depth;
    operands.last = shape.d_sae;
    return timer.launches([&] {
        must(sae::cuda::launch_preactivations(*params.context, operands,
                                              sae::cuda::ScoreTarget{scores.as<float>(), shape.d_sae}),
             "the product");
    });
}

Times own_topk(const Timer &timer, const Shape &shape) {
    const Device scores(4 * shape.rows * shape.d_sae);
    const Device indices(4 * shape.rows * shape.k), values(4 * shape.rows * shape.k);
    const Device keys(std::max<int64_t>(8 * sae::cuda::topk_scratch(shape.rows, shape.k), 8));
    fill_normal(scores.as<float>(), shape.rows * shape.d_sae, 4, timer.stream());
    return timer.launches([&] {
        must(sae::cuda::launch_topk(scores.as<float>(), shape.rows, shape.d_sae, nullptr, nullptr, shape.k,
                                    keys.as<uint64_t>(), indices.as<int>(), values.as<float>(), timer.stream()),
             "top-k");
    });
}

} // namespace bench
