/* batch.h: the launch of the pass over the rows of a step; definitions and cost are in batch.cu. */
#ifndef SAE_CUDA_BATCH_H
#define SAE_CUDA_BATCH_H

#include "../device/device.h"

namespace sae::cuda {

/* partials: scratch of batch_scratch(rows, d_in); moments [2, d_in]; b_dec and centred null: x is the input */
int64_t batch_scratch(int64_t rows, int64_t d_in);
cudaError_t launch_prepare_batch(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                 int *bad_row, double *partials, double *moments, cudaStream_t stream);

} // namespace sae::cuda
#endif
