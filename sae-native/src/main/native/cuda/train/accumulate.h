/* accumulate.h: launches of the additions of sums: into = from, or into += from; definitions are in accumulate.cu. */
#ifndef SAE_CUDA_ACCUMULATE_H
#define SAE_CUDA_ACCUMULATE_H

#include "step_state.h"

namespace sae::cuda {

template <typename From> // double or float
cudaError_t launch_put(const From *from, int64_t count, bool add, float *into, cudaStream_t stream);
cudaError_t launch_put_fired(const unsigned char *from, int64_t count, bool add, unsigned char *into,
                             cudaStream_t stream);
cudaError_t launch_put_totals(const StepStatus *from, bool add, StepStatus *into, cudaStream_t stream);

} // namespace sae::cuda
#endif
