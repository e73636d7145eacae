/* threshold.h: launches of what an update does to thresholds; definitions are in threshold.cu. */
#ifndef SAE_CUDA_THRESHOLD_H
#define SAE_CUDA_THRESHOLD_H

#include "ragged_options.h"
#include "step_state.h"

namespace sae::cuda {

/* From the least value kept in the step's parts; before the step is counted. */
cudaError_t launch_learn_threshold(const LearnedThreshold &options, StepStatus *status, cudaStream_t stream);
cudaError_t launch_keep_thresholds(float *thresholds, int64_t count, cudaStream_t stream);

} // namespace sae::cuda
#endif
