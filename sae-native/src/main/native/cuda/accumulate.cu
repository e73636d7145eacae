/* accumulate.cu: launches the additions of sums; definitions are in accumulate.cuh. */
#include "accumulate.cuh"

namespace sae::cuda {

template <typename From>
cudaError_t launch_put(const From *from, int64_t count, bool add, float *into, cudaStream_t stream) {
    return launch(put_kernel<From>, divide_up(count, kThreads), stream, from, count, add, into);
}
template cudaError_t launch_put(const double *, int64_t, bool, float *, cudaStream_t);
template cudaError_t launch_put(const float *, int64_t, bool, float *, cudaStream_t);

cudaError_t launch_put_fired(const unsigned char *from, int64_t count, bool add, unsigned char *into,
                             cudaStream_t stream) {
    return launch(put_fired_kernel, divide_up(count, kThreads), stream, from, count, add, into);
}

cudaError_t launch_put_totals(const StepStatus *from, bool add, StepStatus *into, cudaStream_t stream) {
    return launch(put_totals_kernel, 1, stream, from, add, into);
}

} // namespace sae::cuda
