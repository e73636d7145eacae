/*
 * backward.cu: gradients of the weights from the gradients of the outputs.
 *
 *   dz[b, s]  = <g[b], W_dec[indices[b, s]]> where values[b, s] is not 0, else 0
 *   dW_dec[j] = sum over latent j's entries of z g[b]      (+ the same over the auxiliary entries with their g, and over
 *                                                          those of a second loss, multi_topk.cu)
 *   dW_enc[j] = sum over latent j's entries of dz x[b]     (x centred where b_dec is subtracted)
 *   db_enc[j] = sum over latent j's entries of dz
 *   db_dec    = sum_b g[b] - sum_j db_enc[j] W_enc[j]      (the second term where b_dec is subtracted; losses.cu sums)
 *   With `add`, from the second part of a batch on, dW and db_enc are accumulated; latents without entries are then free.
 *
 * in:  g float32 [rows, d_out] of the reconstruction and of the auxiliary part, W_dec float32 [d_sae, d_out],
 *      x float32 [rows, d_in], indices, values [rows, k], lists by latent (csc.cu)
 * out: dz float32 [rows, k]; dW_dec float32 [d_sae, d_out], dW_enc [d_sae, d_in]; db_enc [d_sae]; db_dec [d_out]
 * Bytes: dz gathers 4 rows k d_out; dW gathers 4 rows k (d_in + d_out) and writes 4 d_sae (d_in + d_out). 2 FLOP for
 * each element gathered.
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
                           const float *__restrict__ w_dec, const float *__restrict__ gradient, int64_t d_out,
                           float *__restrict__ dz) {
    __shared__ double partial[kThreads];
    const int64_t row = blockIdx.x;
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kLanes;
    const float *row_gradient = gradient + row * d_out;
    for (int64_t first = 0; first < k; first += kSlots) {
        const int64_t slot = first + thread / kLanes;
        const bool flows = slot < k && values[row * k + slot] != 0.0f;
        double sum = 0.0;
        if (flows) {
            const float *direction = w_dec + indices[row * k + slot] * d_out;
            for (int64_t i = lane; i < d_out; i += kLanes) {
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

/* A latent's positions in a list. */
struct Stretch {
    int64_t begin = 0, end = 0;

    __device__ inline Stretch(const SparseList &list, int64_t latent) {
        if (list.offsets != nullptr) {
            begin = list.offsets[latent];
            end = list.offsets[latent + 1];
        }
    }
    __device__ inline bool empty() const { return begin == end; }
};

template <bool kSecond> // whether there is a second loss
__global__ void __launch_bounds__(kThreads)
    weight_gradient_kernel(WeightGradient of, float *__restrict__ dw_enc, float *__restrict__ dw_dec,
                           float *__restrict__ db_enc) {
    const int64_t latent = blockIdx.x;
    const Stretch kept(of.kept, latent);
    const Stretch aux(of.aux, latent);
    const Stretch second(kSecond ? of.second : SparseList{}, latent);
    if (of.add && kept.empty() && aux.empty() && second.empty()) {
        return;
    }
    const auto sum = [](const SparseList &list, const Stretch &at, const float *factor, const float *source, int64_t d,
                        int64_t column) { return list_sum(list, at.begin, at.end, factor, source, d, column); };
    for (int64_t column = threadIdx.x; column < of.d_out; column += kThreads) {
        const int64_t at = latent * of.d_out + column;
        float decoder = sum(of.kept, kept, of.kept.values, of.kept.gradient, of.d_out, column) +
                        sum(of.aux, aux, of.aux.values, of.aux.gradient, of.d_out, column);
        if (kSecond) {
            decoder += sum(of.second, second, of.second.values, of.second.gradient, of.d_out, column);
        }
        dw_dec[at] = of.add ? dw_dec[at] + decoder : decoder;
    }
    for (int64_t column = threadIdx.x; column < of.d_in; column += kThreads) {
        const int64_t at = latent * of.d_in + column;
        const float encoder = sum(of.kept, kept, of.kept.dz, of.input, of.d_in, column) +
                              sum(of.aux, aux, of.aux.dz, of.input, of.d_in, column);
        dw_enc[at] = of.add ? dw_enc[at] + encoder : encoder;
    }
    if (threadIdx.x == 0) {
        double total = 0.0;
        for (int64_t at = kept.begin; at < kept.end; at++) {
            total += of.kept.dz[of.kept.order[at]];
        }
        for (int64_t at = aux.begin; at < aux.end; at++) {
            total += of.aux.dz[of.aux.order[at]];
        }
        const auto bias = static_cast<float>(total); // rounded as it would be if added from another trainer
        db_enc[latent] = of.add ? db_enc[latent] + bias : bias;
    }
}

/* db_dec = outputs - through_encoder (null: none) */
__global__ void __launch_bounds__(kThreads)
    decoder_bias_gradient_kernel(const float *__restrict__ outputs, const double *__restrict__ through_encoder,
                                 int64_t d_out, float *__restrict__ db_dec) {
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (column < d_out) {
        const double encoder = through_encoder == nullptr ? 0.0 : through_encoder[column];
        db_dec[column] = static_cast<float>(outputs[column] - encoder);
    }
}

} // namespace

cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_out, float *dz, cudaStream_t stream) {
    return launch(latent_gradient_kernel, rows, stream, indices, values, k, w_dec, gradient, d_out, dz);
}

cudaError_t launch_weight_gradient(const WeightGradient &of, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream) {
    const auto kernel = of.second.offsets == nullptr ? weight_gradient_kernel<false> : weight_gradient_kernel<true>;
    return launch(kernel, of.d_sae, stream, of, dw_enc, dw_dec, db_enc);
}

cudaError_t launch_decoder_bias_gradient(const float *outputs, const double *through_encoder, int64_t d_out,
                                         float *db_dec, cudaStream_t stream) {
    return launch(decoder_bias_gradient_kernel, divide_up(d_out, kThreads), stream, outputs, through_encoder, d_out,
                  db_dec);
}

} // namespace sae::cuda
