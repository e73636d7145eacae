/*
 * adam.cu: gradient norm and clipping, decoder norm and projection, Adam.
 *
 *   G = sum over the batch's parts (or its only one) of rows gradient;  gradient = G / sum of rows
 *   norm = sqrt(sum of squares of every trained gradient; of W_dec's, |g|^2 - <g, w>^2 / |w|^2 by row with
 *   SAE_OPT_CLIP_PROJECTED);  clip = min(1, clip_norm / (norm + 1e-6)), 1 when off
 *   t = steps + 1;  g = clip gradient
 *   decoder rows: w = w / |w| with SAE_DECODER_NORM_BEFORE_STEP; g = g - <g, w> w / |w|^2 with SAE_OPT_PROJECT_GRADIENT
 *   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p = p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)         (torch.optim.Adam, no weight decay)
 *   decoder rows: w = w / |w| with SAE_DECODER_NORM_AFTER_STEP. A row of zeros is left alone.
 *
 * in and out: parameters, G float32; moments float32 or bfloat16 (vectors.cuh); StepSums and StepStatus on the device.
 * Nothing changes if the status has a bad row. Bytes: 28 per parameter (g, p, m, v read; p, m, v written); squares read
 * 4 more.
 * Launch: squares: kSquareBlocks blocks, strided; update: one thread per element; decoder: one block per latent (two or
 * three passes over the row, from L1). At most 2 KiB shared memory.
 * Deterministic: sums over a grid of fixed size, in double. Not yet run on a GPU.
 */
#include "adam.h"

#include "../device/reduce.cuh"
#include "adam_step.cuh"
#include "decoder_row.cuh"
#include "step_numbers.cuh"
#include "step_state.h"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    squares_kernel(const float *__restrict__ gradient, int64_t count, double *__restrict__ partials) {
    double sum = 0.0;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
         i += kSquareBlocks * kThreads) {
        const double value = gradient[i];
        sum += value * value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = sum;
    }
}

__global__ void __launch_bounds__(kThreads)
    projected_squares_kernel(const float *__restrict__ gradient, const float *__restrict__ w, int64_t d_in,
                             int64_t d_sae, double *__restrict__ partials) {
    double sum = 0.0;
    for (int64_t latent = blockIdx.x; latent < d_sae; latent += kSquareBlocks) {
        double of_row[3] = {}; // |g|^2, <g, w>, |w|^2
        for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
            const double g = gradient[latent * d_in + i];
            const double direction = w[latent * d_in + i];
            of_row[0] += g * g;
            of_row[1] += g * direction;
            of_row[2] += direction * direction;
        }
        block_sums(of_row);
        sum += of_row[2] > 0.0 ? fmax(0.0, of_row[0] - of_row[1] * of_row[1] / of_row[2]) : of_row[0];
    }
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = sum;
    }
}

/* The share of this step's iterate in signum's average: l^2 / (sum of l^2), l the largest lr so far. */
__device__ inline double next_share(double lr, double (&averaging)[2]) {
    averaging[1] = fmax(averaging[1], lr);
    const double weight = averaging[1] * averaging[1];
    averaging[0] += weight;
    return averaging[0] > 0.0 ? weight / averaging[0] : 0.0;
}

/* One block. partials holds the squares of every trained G; count 0: clipping is off. */
__global__ void __launch_bounds__(kThreads)
    prepare_update_kernel(const double *__restrict__ partials, int64_t count, double rows, const int *n_dead,
                          AdamOptions options, bool averages, StepSums *sums, StepStatus *status) {
    double squares = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) {
        squares += partials[i];
    }
    squares = block_sum(squares);
    if (threadIdx.x != 0) {
        return;
    }
    set_statistics(status->parts, rows, rows, *n_dead, status);
    if (begin_update(options, sums, status)) {
        const double norm = sqrt(squares) / rows;
        sums->clip = (count == 0 ? 1.0 : clip_factor(options, norm)) / rows;
        status->stats[SAE_STAT_GRADIENT_NORM] = norm;
        if (averages) {
            sums->average_share = next_share(sums->lr, status->averaging);
        }
    }
}

template <typename Moment>
__global__ void __launch_bounds__(kThreads)
    update_kernel(const float *__restrict__ gradient, int64_t count, AdamOptions options,
                  const StepSums *__restrict__ sums, const StepStatus *__restrict__ status,
                  float *__restrict__ parameters, Moment *__restrict__ first, Moment *__restrict__ second) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < count && status->bad_row == kNoBadRow) {
        parameters[i] =
            adam_step(parameters[i], sums->clip * gradient[i], options, *sums, first, second, sums->encoder_seed, i);
    }
}

template <typename Moment>
__global__ void __launch_bounds__(kThreads)
    update_decoder_kernel(const float *__restrict__ gradients, int64_t d_in, AdamOptions options,
                          const StepSums *__restrict__ sums, const StepStatus *__restrict__ status,
                          float *__restrict__ w_dec, Moment *__restrict__ first, Moment *__restrict__ second) {
    if (status->bad_row != kNoBadRow) {
        return;
    }
    const int64_t start = static_cast<int64_t>(blockIdx.x) * d_in;
    const float *gradient = gradients + start;
    float *row = w_dec + start;
    const double along = begin_row(gradient, sums->clip, options, d_in, row);
    for (int64_t i = threadIdx.x; i < d_in; i += kThreads) {
        row[i] = adam_step(row[i], sums->clip * gradient[i] - along * row[i], options, *sums, first, second,
                           sums->decoder_seed, start + i);
    }
    end_row(options, d_in, row);
}

} // namespace

cudaError_t launch_squares(const float *gradient, int64_t count, double *partials, cudaStream_t stream) {
    return launch(squares_kernel, kSquareBlocks, stream, gradient, count, partials);
}

cudaError_t launch_projected_squares(const float *gradient, const float *w, int64_t d_in, int64_t d_sae,
                                     double *partials, cudaStream_t stream) {
    return launch(projected_squares_kernel, kSquareBlocks, stream, gradient, w, d_in, d_sae, partials);
}

cudaError_t launch_prepare_update(const double *partials, int64_t count, int64_t rows, const int *n_dead,
                                  const AdamOptions &options, bool averages, StepSums *sums, StepStatus *status,
                                  cudaStream_t stream) {
    return launch(prepare_update_kernel, 1, stream, partials, count, static_cast<double>(rows), n_dead, options,
                  averages, sums, status);
}

template <typename Moment>
cudaError_t launch_update(const float *gradient, int64_t count, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, float *parameters, Moment *first, Moment *second,
                          cudaStream_t stream) {
    return launch(update_kernel<Moment>, divide_up(count, kThreads), stream, gradient, count, options, sums, status,
                  parameters, first, second);
}

template <typename Moment>
cudaError_t launch_update_decoder(const float *gradient, int64_t d_in, int64_t d_sae, const AdamOptions &options,
                                  const StepSums *sums, const StepStatus *status, float *w_dec, Moment *first,
                                  Moment *second, cudaStream_t stream) {
    return launch(update_decoder_kernel<Moment>, d_sae, stream, gradient, d_in, options, sums, status, w_dec, first,
                  second);
}

template cudaError_t launch_update(const float *, int64_t, const AdamOptions &, const StepSums *, const StepStatus *,
                                   float *, float *, float *, cudaStream_t);
template cudaError_t launch_update(const float *, int64_t, const AdamOptions &, const StepSums *, const StepStatus *,
                                   float *, Bf16 *, Bf16 *, cudaStream_t);
template cudaError_t launch_update_decoder(const float *, int64_t, int64_t, const AdamOptions &, const StepSums *,
                                           const StepStatus *, float *, float *, float *, cudaStream_t);
template cudaError_t launch_update_decoder(const float *, int64_t, int64_t, const AdamOptions &, const StepSums *,
                                           const StepStatus *, float *, Bf16 *, Bf16 *, cudaStream_t);

} // namespace sae::cuda
