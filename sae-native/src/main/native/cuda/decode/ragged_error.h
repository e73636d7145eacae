/* ragged_error.h: the launch that decodes ragged rows in training; definition and cost are in ragged_error.cu. */
#ifndef SAE_CUDA_RAGGED_ERROR_H
#define SAE_CUDA_RAGGED_ERROR_H

#include "../train/ragged_batch.h"

namespace sae::cuda {

/* errors [prefixes, rows, d_out]; values in place of the batch's own. add: to what is in the errors' first plane. */
cudaError_t launch_ragged_error(const RaggedBatch &batch, const float *values, const Prefixes &prefixes,
                                const float *w_dec, const float *b_dec, const float *y, int64_t d_out, bool add,
                                float *errors, cudaStream_t stream);

} // namespace sae::cuda
#endif
