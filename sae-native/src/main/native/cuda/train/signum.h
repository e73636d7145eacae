/* signum.h: launches of signSGD with schedule-free averaging; formula and cost are in signum.cu. */
#ifndef SAE_CUDA_SIGNUM_H
#define SAE_CUDA_SIGNUM_H

#include "step_state.h"

namespace sae::cuda {

struct SignumTensor {
    const float *gradient; // null: not trained; its iterate is set in the first step and stays
    int64_t rows, columns; // a vector: one column
    float *parameters;
    float *iterate;
};
/* of_decoder: rows of W_dec, which are normalized and projected as the options say */
cudaError_t launch_signum(const SignumTensor &of, bool of_decoder, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, cudaStream_t stream);

} // namespace sae::cuda
#endif
