/* skip.h: launches of a transcoder's linear skip in training; definitions and cost are in skip.cu. */
#ifndef SAE_CUDA_SKIP_H
#define SAE_CUDA_SKIP_H

#include "../device/device.h"

namespace sae::cuda {

/* out [rows, d_out] = x W_skip^T */
cudaError_t launch_skip_forward(const Params &params, const float *x, int64_t rows, float *out);
/* dw_skip [d_out, d_in] = gradient^T x, or += */
cudaError_t launch_skip_gradient(const Params &params, const float *gradient, const float *x, int64_t rows, bool add,
                                 float *dw_skip);

} // namespace sae::cuda
#endif
