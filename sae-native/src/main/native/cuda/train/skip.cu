/*
 * skip.cu: the linear skip of a transcoder in a training step.
 *
 *   forward:   s[b] = x[b] W_skip^T                          to which error kernels add the rest (decode.cu, ragged_error.cu)
 *   gradient:  dW_skip = sum_b dL/dx_hat[b] (x) x[b]         or added to that of the parts before
 *
 * in:  x float32 [rows, d_in] as it is (b_dec is not subtracted); dL/dx_hat float32 [rows, d_out]; W_skip float32
 *      [d_out, d_in]
 * out: s float32 [rows, d_out]; dW_skip float32 [d_out, d_in]
 * 2 rows d_in d_out FLOP each, d_sae / d_out times fewer than the encoder's product. Both are dense products of float32
 * factors, so they are the auxiliary loss's: bf16x3 on the tensor cores (split_product.cuh has the error), or float32 units
 * with kernels=plain (plain_product.cuh). At 4,096 rows, d_in and d_out 4096: 137 GFLOP each, 412 in bf16x3.
 * Bytes at least 4 (rows d_in + d_in d_out + rows d_out), and 4 (rows (d_in + d_out) + d_in d_out).
 * Launch: a block of 256 threads per tile of 128 x 128 (plain: 64 x 64); neighbours in a row of tiles share x or dL/dx_hat
 * in L2. The gradient's sum over rows is not split: at d_out = d_in = 768 it has 36 tiles for 132
 * multiprocessors. 33 KiB shared memory (8.5).
 * Deterministic: each result is one fixed sequence of sums. Not yet run on a GPU.
 */
#include "skip.h"

#include "../dead/plain_product.cuh"

namespace sae::cuda {
namespace {

struct SkipForward {
    const float *x, *w_skip;
    int rows, d_in, d_out;
    float *out;
};

struct Corner {
    int row, column;
};

/* Where a block's tile begins. */
template <typename Product>
__device__ inline Corner tile_of_block(int columns) {
    const int across = static_cast<int>(tiles_of(columns, Product::kTile));
    const int tile = static_cast<int>(blockIdx.x);
    return {tile / across * Product::kTile, tile % across * Product::kTile};
}

template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident) skip_forward_kernel(SkipForward of) {
    __shared__ typename Product::Shared shared;
    const Corner first = tile_of_block<Product>(of.d_out);
    Product::tile(shared, first.row, first.column, of.rows, of.d_out, of.d_in, Factor<false>{of.x, of.d_in},
                  Factor<false>{of.w_skip, of.d_in},
                  [&](int row, int column, float sum) { of.out[static_cast<int64_t>(row) * of.d_out + column] = sum; });
}

struct SkipGradient {
    const float *gradient, *x;
    int rows, d_in, d_out;
    bool add;
    float *dw_skip;
};

template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident) skip_gradient_kernel(SkipGradient of) {
    __shared__ typename Product::Shared shared;
    const Corner first = tile_of_block<Product>(of.d_in);
    Product::tile(shared, first.row, first.column, of.d_out, of.d_in, of.rows, Factor<true>{of.gradient, of.d_out},
                  Factor<true>{of.x, of.d_in}, [&](int row, int column, float sum) {
                      float &target = of.dw_skip[static_cast<int64_t>(row) * of.d_in + column];
                      target = of.add ? target + sum : sum;
                  });
}

template <typename Product>
int64_t all_tiles(int64_t rows, int64_t columns) {
    return tiles_of(rows, Product::kTile) * tiles_of(columns, Product::kTile);
}

} // namespace

cudaError_t launch_skip_forward(const Params &params, const float *x, int64_t rows, float *out) {
    const Context &context = *params.context;
    const SkipForward of{x,
                         params.tensor(SAE_W_SKIP),
                         static_cast<int>(rows),
                         static_cast<int>(params.d_in),
                         static_cast<int>(params.d_out),
                         out};
    return is_plain(context) ? launch(skip_forward_kernel<PlainProduct>, all_tiles<PlainProduct>(rows, params.d_out),
                                      context.stream, of)
                             : launch(skip_forward_kernel<SplitProduct>, all_tiles<SplitProduct>(rows, params.d_out),
                                      context.stream, of);
}

cudaError_t launch_skip_gradient(const Params &params, const float *gradient, const float *x, int64_t rows, bool add,
                                 float *dw_skip) {
    const Context &context = *params.context;
    const SkipGradient of{
        gradient, x,      static_cast<int>(rows), static_cast<int>(params.d_in), static_cast<int>(params.d_out),
        add,      dw_skip};
    return is_plain(context) ? launch(skip_gradient_kernel<PlainProduct>,
                                      all_tiles<PlainProduct>(params.d_out, params.d_in), context.stream, of)
                             : launch(skip_gradient_kernel<SplitProduct>,
                                      all_tiles<SplitProduct>(params.d_out, params.d_in), context.stream, of);
}

} // namespace sae::cuda
