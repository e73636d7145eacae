/*
 * backward.cu: gradients of the weights from the gradients of the outputs.
 *
 *   dz[b, s]  = <g[b], W_dec[indices[b, s]]> where values[b, s] > 0, else 0
 *   dW_dec[j] = sum over latent j's entries of z g[b]      (+ the same over the auxiliary entries with their g)
 *   dW_enc[j] = sum over latent j's entries of dz x[b]     (x centred where b_dec is subtracted)
 *   db_enc[j] = sum over latent j's entries of dz
 *   db_dec    = sum_b g[b] - sum_j db_enc[j] W_enc[j]      (the second term where b_dec is subtracted; losses.cu sums)
 *   With `add`, from the second part of a batch on, dW and db_enc are accumulated; latents without entries are then free.
 *
 * in:  g float32 [rows, d_in] of the reconstruction and of the auxiliary part, W_dec float32 [d_sae, d_in],
 *      indices, values [rows, k], lists by latent (csc.cu)
 * out: dz float32 [rows, k]; dW_dec, dW_enc float32 [d_sae, d_in]; db_enc float32 [d_sae]; db_dec float32 [d_in]
 * Bytes: dz gathers 4 rows k d_in; dW gathers 8 rows k d_in and writes 8 d_sae d_in. 6 rows k d_in FLOP together.
 * Launch: dz: one block per row, 32 threads per slot, 2 KiB shared memory; dW: one block per latent, a thread per
 * column in turn.
 * Deterministic: lists are in the order of rows and are added kRun entries at a time, run by run, which also keeps
 * rounding error in long lists small; dz is a tree of doubles. No floating-point atomics. Not yet run on a GPU.
 */
#include "backward.h"

#include "list_sum.cuh"

namespace sae::cuda {
namespace {

constexpr int kLanes = 32;                // threads on one dot product
constexpr int kSlots = kThreads / kLanes; // dot products a block computes at a time

__global__ void __launch_bounds__(kThreads)
    latent_gradient_kernel(const int *__restrict__ indices, const float *__restrict__ values, int64_t k,
                           const float *__restrict__ w_dec, const float *__restrict__ gradient, int64_t d_in,
                           float *__restrict__ dz) {
    __shared__ double partial[kThreads];
    const int64_t row = blockIdx.x;
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kLanes;
    const float *row_gradient = gradient + row * d_in;
    for (int64_t first = 0; first < k; first += kSlots) {
        const int64_t slot = first + thread / kLanes;
        const bool flows = slot < k && values[row * k + slot] > 0.0f;
        double sum = 0.0;
        if (flows) {
            const float *direction = w_dec + indices[row * k + slot] * d_in;
            for (int64_t i = lane; i < d_in; i += kLanes) {
                sum += static_cast<double>(row_gradient[i]) * direction[i];
            }
        }
        partial[thread] = sum;
        __syncthreads();
        for (int half = kLanes / 2; half > 0; half /= 2) {
            if (lane < half) {
                partial[thread] += partial[thread + half];
            }
            __syncthreads();
        }
        if (lane == 0 && slot < k) {
            dz[row * k + slot] = flows ? static_cast<float>(partial[thread]) : 0.0f;
        }
        __syncthreads();
    }
}

/* Of one factor with one source. */
__device__ inline float list_sum(const SparseList &list, int64_t begin, int64_t end, const float *factor,
                                 const float *source, int64_t d_in, int64_t column) {
    return list_sum(EntriesOfK{list.k}, list.order, begin, end, factor, source, d_in, column);
}

__global__ void __launch_bounds__(kThreads)
    weight_gradient_kernel(SparseList kept, SparseList aux, const float *__restrict__ input, int64_t d_in, bool add,
                           float *__restrict__ dw_enc, float *__restrict__ dw_dec, float *__restrict__ db_enc) {
    const int64_t latent = blockIdx.x;
    const int64_t kept_begin = kept.offsets[latent];
    const int64_t kept_end = kept.offsets[latent + 1];
    const int64_t aux_begin = aux.offsets == nullptr ? 0 : aux.offsets[latent];
    const int64_t aux_end = aux.offsets == nullptr ? 0 : aux.offsets[latent + 1];
    if (add && kept_begin == kept_end && aux_begin == aux_end) {
        return;
    }
    for (int64_t column = threadIdx.x; column < d_in; column += kThreads) {
        const int64_t at = latent * d_in + column;
        const float decoder = list_sum(kept, kept_begin, kept_end, kept.values, kept.gradient, d_in, column) +
                              list_sum(aux, aux_begin, aux_end, aux.values, aux.gradient, d_in, column);
        const float encoder = list_sum(kept, kept_begin, kept_end, kept.dz, input, d_in, column) +
                              list_sum(aux, aux_begin, aux_end, aux.dz, input, d_in, column);
        dw_dec[at] = add ? dw_dec[at] + decoder : decoder;
        dw_enc[at] = add ? dw_enc[at] + encoder : encoder;
    }
    if (threadIdx.x == 0) {
        double sum = 0.0;
        for (int64_t at = kept_begin; at < kept_end; at++) {
            sum += kept.dz[kept.order[at]];
        }
        for (int64_t at = aux_begin; at < aux_end; at++) {
            sum += aux.dz[aux.order[at]];
        }
        const auto bias = static_cast<float>(sum); // rounded as it would be if added from another trainer
        db_enc[latent] = add ? db_enc[latent] + bias : bias;
    }
}

/* db_dec = outputs - through_encoder (null: none) */
__global__ void __launch_bounds__(kThreads)
    decoder_bias_gradient_kernel(const float *__restrict__ outputs, const double *__restrict__ through_encoder,
                                 int64_t d_in, float *__restrict__ db_dec) {
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (column < d_in) {
        const double encoder = through_encoder == nullptr ? 0.0 : through_encoder[column];
        db_dec[column] = static_cast<float>(outputs[column] - encoder);
    }
}

} // namespace

cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_in, float *dz, cudaStream_t stream) {
    return launch(latent_gradient_kernel, rows, stream, indices, values, k, w_dec, gradient, d_in, dz);
}

cudaError_t launch_weight_gradient(const SparseList &kept, const SparseList &aux, const float *input, int64_t d_in,
                                   int64_t d_sae, bool add, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream) {
    return launch(weight_gradient_kernel, d_sae, stream, kept, aux, input, d_in, add, dw_enc, dw_dec, db_enc);
}

cudaError_t launch_decoder_bias_gradient(const float *outputs, const double *through_encoder, int64_t d_in,
                                         float *db_dec, cudaStream_t stream) {
    return launch(decoder_bias_gradient_kernel, divide_up(d_in, kThreads), stream, outputs, through_encoder, d_in,
                  db_dec);
}

} // namespace sae::cuda
