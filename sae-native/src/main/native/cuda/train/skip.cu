/*
 * skip.cu: the linear skip of a transcoder in a training step.
 *
 *   error:     e[b] = x[b] W_skip^T + b_dec - y[b]           what the latents decode to joins it (decode.cu, ragged_error.cu)
 *   gradient:  dW_skip = sum_b dL/dx_hat[b] (x) x[b]         or added to that of the parts before
 *
 * in:  x float32 [rows, d_in] as it is (b_dec is not subtracted); y, dL/dx_hat float32 [rows, d_out]; W_skip float32
 *      [d_out, d_in]; b_dec float32 [d_out]
 * out: e float32 [rows, d_out]; dW_skip float32 [d_out, d_in]
 * 2 rows d_in d_out FLOP each, d_sae / d_out times fewer than the encoder's product. Both are dense products of float32
 * factors, so they are the auxiliary loss's: bf16x3 on the tensor cores (split_product.cuh has the error), or float32 units
 * with kernels=plain (plain_product.cuh). At 4,096 rows, d_in and d_out 4096: 137 GFLOP each, 412 in bf16x3.
 * Bytes at least 4 (rows d_in + d_in d_out + 2 rows d_out), and 4 (rows (d_in + d_out) + d_in d_out).
 * Launch: blocks of 256 threads that take the 128 x 128 (plain: 64 x 64) tiles in turn, neighbours in a row of tiles, which
 * share x or dL/dx_hat in L2. The gradient's sum over rows is not split: at d_out = d_in = 768 it has 36 tiles for 132
 * multiprocessors. 33 KiB shared memory (8.5).
 * Deterministic: each result is one fixed sequence of sums. Not yet run on a GPU.
 */
#include "skip.h"

#include "../dead/plain_product.cuh"

namespace sae::cuda {
namespace {

struct SkipError {
    const float *x, *w_skip, *b_dec, *y;
    int rows, d_in, d_out;
    float *error;
};

template <typename Product>
__global__ void __launch_bounds__(kThreads, Product::kResident) skip_error_kernel(SkipError of) {
    __shared__ typename Product::Shared shared;
    const int column_tiles = static_cast<int>(tiles_of(of.d_out, Product::kTile));
    const int64_t tiles = tiles_of(of.rows, Product::kTile) * column_tiles;
    const Factor<false> x{of.x, of.d_in};
    const Factor<false> w{of.w_skip, of.d_in};
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Product::tile(shared, static_cast<int>(tile / column_tiles) * Product::kTile,
                      static_cast<int>(tile % column_tiles) * Product::kTile, of.rows, of.d_out, of.d_in, x, w,
                      [&](int row, int column, float sum) {
                          const int64_t at = static_cast<int64_t>(row) * of.d_out + column;
                          of.error[at] = sum + (of.b_dec[column] - of.y[at]);
                      });
    }
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
    const int column_tiles = static_cast<int>(tiles_of(of.d_in, Product::kTile));
    const int64_t tiles = tiles_of(of.d_out, Product::kTile) * column_tiles;
    const Factor<true> gradient{of.gradient, of.d_out};
    const Factor<true> x{of.x, of.d_in};
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        Product::tile(shared, static_cast<int>(tile / column_tiles) * Product::kTile,
                      static_cast<int>(tile % column_tiles) * Product::kTile, of.d_out, of.d_in, of.rows, gradient, x,
                      [&](int row, int column, float sum) {
                          float &target = of.dw_skip[static_cast<int64_t>(row) * of.d_in + column];
                          target = of.add ? target + sum : sum;
                      });
    }
}

} // namespace

cudaError_t launch_skip_error(const Params &params, const float *x, const float *y, int64_t rows, float *error) {
    const Context &context = *params.context;
    const SkipError of{x,
                       params.tensor(SAE_W_SKIP),
                       params.tensor(SAE_B_DEC),
                       y,
                       static_cast<int>(rows),
                       static_cast<int>(params.d_in),
                       static_cast<int>(params.d_out),
                       error};
    return is_plain(context) ? launch(skip_error_kernel<PlainProduct>, blocks_of<PlainProduct>(rows, params.d_out),
                                      context.stream, of)
                             : launch(skip_error_kernel<SplitProduct>, blocks_of<SplitProduct>(rows, params.d_out),
                                      context.stream, of);
}

cudaError_t launch_skip_gradient(const Params &params, const float *gradient, const float *x, int64_t rows, bool add,
                                 float *dw_skip) {
    const Context &context = *params.context;
    const SkipGradient of{
        gradient, x,      static_cast<int>(rows), static_cast<int>(params.d_in), static_cast<int>(params.d_out),
        add,      dw_skip};
    return is_plain(context) ? launch(skip_gradient_kernel<PlainProduct>,
                                      blocks_of<PlainProduct>(params.d_out, params.d_in), context.stream, of)
                             : launch(skip_gradient_kernel<SplitProduct>,
                                      blocks_of<SplitProduct>(params.d_out, params.d_in), context.stream, of);
}

} // namespace sae::cuda
