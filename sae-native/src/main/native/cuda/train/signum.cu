/*
 * signum.cu: signSGD with schedule-free averaging (sae_abi.h: SAE_SIGNUM). With the clipped and projected gradient g,
 * b = 0.95 and c this step's share of the average (prepare_update_kernel in adam.cu):
 *
 *   x = y + (1 - 1/b) (z - y);  z -= lr sign(g);  x += c (z - x);  y = z + b (x - z)      y: the parameters
 *
 * In the first step z starts at the parameters; rows of W_dec after they were scaled, if that comes before the step.
 *
 * in and out: gradient G, parameters, iterate float32; StepSums and StepStatus on the device. Nothing changes if the
 * status has a bad row. Bytes: 20 per parameter (G, y, z read; y, z written), 8 less than Adam's, and half of its state.
 * Launch: one thread per element; W_dec: one block per latent, two or three passes over the row, from L1. 2 KiB shared
 * memory. What is not trained costs a read of the status after the first step.
 * Sources: Defazio et al. 2024, "The Road Less Scheduled"; sparsify 1.3.3, sign_sgd.py; schedulefree 1.4.1,
 * wrap_schedulefree.py.
 * Deterministic: an element depends on its own numbers and on sums in a fixed tree, in double. Not yet run on a GPU.
 */
#include "signum.h"

#include "decoder_row.cuh"

namespace sae::cuda {
namespace {

constexpr double kMomentum = 0.95;

/* Returns the new parameter. */
__device__ inline float signum_step(float parameter, double gradient, const StepSums &sums, bool starts,
                                    float *iterate) {
    const double from = parameter;
    const double z = starts ? from : *iterate;
    const double average = from + (1.0 - 1.0 / kMomentum) * (z - from);
    const double next = z - sums.lr * (gradient > 0.0 ? 1.0 : gradient < 0.0 ? -1.0 : 0.0);
    const double after = average + sums.average_share * (next - average);
    *iterate = static_cast<float>(next);
    return static_cast<float>(next + kMomentum * (after - next));
}

__global__ void __launch_bounds__(kThreads)
    signum_kernel(SignumTensor of, const StepSums *__restrict__ sums, const StepStatus *__restrict__ status) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    const bool starts = status->steps == 1; // this step is counted already
    if (status->bad_row != kNoBadRow || i >= of.rows * of.columns) {
        return;
    }
    if (of.gradient != nullptr) {
        of.parameters[i] = signum_step(of.parameters[i], sums->clip * of.gradient[i], *sums, starts, of.iterate + i);
    } else if (starts) {
        of.iterate[i] = of.parameters[i];
    }
}

__global__ void __launch_bounds__(kThreads)
    signum_decoder_kernel(SignumTensor of, AdamOptions options, const StepSums *__restrict__ sums,
                          const StepStatus *__restrict__ status) {
    if (status->bad_row != kNoBadRow) {
        return;
    }
    const int64_t start = static_cast<int64_t>(blockIdx.x) * of.columns;
    const float *gradient = of.gradient + start;
    float *row = of.parameters + start;
    const bool starts = status->steps == 1;
    const double along = begin_row(gradient, sums->clip, options, of.columns, row);
    for (int64_t i = threadIdx.x; i < of.columns; i += kThreads) {
        row[i] = signum_step(row[i], sums->clip * gradient[i] - along * row[i], *sums, starts, of.iterate + start + i);
    }
    end_row(options, of.columns, row);
}

} // namespace

cudaError_t launch_signum(const SignumTensor &of, bool of_decoder, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, cudaStream_t stream) {
    return of_decoder && of.gradient != nullptr
               ? launch(signum_decoder_kernel, of.rows, stream, of, options, sums, status)
               : launch(signum_kernel, divide_up(of.rows * of.columns, kThreads), stream, of, sums, status);
}

} // namespace sae::cuda
