/*
 * threshold.cu: what an update does to thresholds.
 *
 *   learned by SAE_BATCH_TOPK:  t += rate (least kept value > 0 - t); before the first, t is 0 or that value
 *   trained ones (JumpReLU):    t = max(t, 0), after Adam
 *
 * in and out: StepStatus; thresholds float32 [d_sae]. Launch: one thread; a thread per latent. 8 d_sae bytes.
 * Deterministic. Not yet run on a GPU.
 */
#include "threshold.h"

namespace sae::cuda {
namespace {

__global__ void learn_threshold_kernel(LearnedThreshold options, StepStatus *status) {
    if (threadIdx.x != 0 || status->bad_row != kNoBadRow || static_cast<double>(status->steps) < options.after) {
        return;
    }
    const double least = status->parts.least;
    if (!isfinite(least)) { // nothing was kept
        return;
    }
    const double learned = status->learned_threshold;
    const double from = learned >= 0.0 ? learned : options.from_first ? least : 0.0;
    status->learned_threshold = from + options.rate * (least - from);
}

__global__ void __launch_bounds__(kThreads) keep_thresholds_kernel(float *thresholds, int64_t count) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (at < count) {
        thresholds[at] = fmaxf(thresholds[at], 0.0f);
    }
}

} // namespace

cudaError_t launch_learn_threshold(const LearnedThreshold &options, StepStatus *status, cudaStream_t stream) {
    return launch(learn_threshold_kernel, 1, stream, options, status);
}

cudaError_t launch_keep_thresholds(float *thresholds, int64_t count, cudaStream_t stream) {
    return launch(keep_thresholds_kernel, divide_up(count, kThreads), stream, thresholds, count);
}

} // namespace sae::cuda
