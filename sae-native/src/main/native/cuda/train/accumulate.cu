/*
 * accumulate.cu: adds the sums of one part of a batch, or of one trainer, to those of another.
 *
 *   put:    into = from, or into += from
 *   fired:  into = from, or into = into or from
 *   totals: the same of StepTotals, and the lower of two bad rows: a step with one bad part is refused
 *
 * in:  from float32, double or uint8 [count]; StepStatus. out: into float32 or uint8 [count]
 * Bytes: 12 per float32 element when adding, 8 when copying. Launch: one thread per element; totals: one thread.
 * Deterministic: one addition per element in float32, in the order of the calls, so a part from another trainer gives
 * the same bits as one accumulated here. Not yet run on a GPU.
 */
#include "accumulate.h"

#include "step_numbers.cuh"
#include "step_state.h"

namespace sae::cuda {
namespace {

template <typename From>
__global__ void __launch_bounds__(kThreads)
    put_kernel(const From *__restrict__ from, int64_t count, bool add, float *__restrict__ into) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < count) {
        const auto value = static_cast<float>(from[i]);
        into[i] = add ? into[i] + value : value;
    }
}

__global__ void __launch_bounds__(kThreads) put_fired_kernel(const unsigned char *__restrict__ from, int64_t count,
                                                             bool add, unsigned char *__restrict__ into) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < count) {
        into[i] = from[i] | (add ? into[i] : 0);
    }
}

__global__ void put_totals_kernel(const StepStatus *from, bool add, StepStatus *into) {
    if (threadIdx.x == 0) {
        into->parts = add ? into->parts + from->parts : from->parts;
        into->bad_row = add && into->bad_row < from->bad_row ? into->bad_row : from->bad_row;
    }
}

} // namespace

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
