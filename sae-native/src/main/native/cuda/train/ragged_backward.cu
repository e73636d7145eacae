/*
 * ragged_backward.cu: a ragged step's gradients, from errors to weights. Prefixes g, the last of which has all latents:
 *
 *   G_g       = error_scale weight_g e_g + G_(g + 1);  G_last also has aux_scale r (unless detached)
 *   A_l       = aux_scale_l r_l                    l: levels of the auxiliary loss
 *   dz[entry] = <G_g(j)[row], W_dec[j]>           j the entry's latent, g(j) the first prefix that it takes part in
 *   dW_dec[j] = sum over latent j's entries of value G_g(j)[row] (+ gate the gate's gradient) (+ the auxiliary entries', of A_l of its level)
 *               + dL/dn W_dec[j] / n              where the sparsity term weights by n = |W_dec[j]|
 *   dW_enc[j] = sum of dz input[row]              (+ the auxiliary entries')
 *   scalars of a latent: sums of its entries' terms
 *
 * in and out: float32, as ragged_batch.h and ragged_backward.h say; d_in here d_out where a transcoder's decoder has that.
 * FLOP: 6 d_in an entry. Bytes an entry, gathered: 8 d_in
 * for dz (from L2), 8 d_in for the weights, 4 d_in more with gates; 8 d_sae d_in written. At 4,096 rows, 64 entries a row
 * and d_in 4096: 17 GB from L2, 3 to 4 ms.
 * Launch: gradients: a thread per element; dz: a warp per entry; weights: a block per latent, a thread per column in turn;
 * sums: a warp per latent. Deterministic: lists are in the order of rows; sums in a fixed tree. Not yet run on a GPU.
 */
#include "ragged_backward.h"

#include "../device/reduce.cuh"
#include "../encode/warp_dot.cuh"
#include "list_sum.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    prefix_gradients_kernel(const StepSums *__restrict__ sums, bool detach, Prefixes prefixes, int64_t count,
                            float *__restrict__ errors, Residuals residuals) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= count) {
        return;
    }
    double through_aux = 0.0;
    for (int level = 0; level < residuals.levels; level++) {
        float &residual = residuals.of[level * count + i];
        through_aux = residuals.scales[level] * residual;
        residual = static_cast<float>(through_aux);
    }
    double gradient = detach ? 0.0 : through_aux;
    for (int prefix = prefixes.count - 1; prefix >= 0; prefix--) {
        float &error = errors[prefix * count + i];
        gradient += sums->error_scale * prefixes.weights[prefix] * error;
        error = static_cast<float>(gradient);
    }
}

__global__ void __launch_bounds__(kThreads)
    entry_gradient_kernel(RaggedBatch batch, Prefixes prefixes, const float *__restrict__ gradients,
                          const float *__restrict__ w_dec, int64_t d_out, float *__restrict__ dz) {
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (entry >= batch.entries) {
        return; // the same for the whole warp
    }
    const int64_t latent = batch.indices[entry];
    const int64_t row = prefixes.of(latent) * batch.rows + batch.row_of[entry];
    const float sum = warp_dot(gradients + row * d_out, w_dec + latent * d_out, d_out);
    if (threadIdx.x % kWarp == 0) {
        dz[entry] = sum;
    }
}

/* Entries of one level of the auxiliary loss, by the rows of the batch. */
struct EntriesOfLevel {
    int64_t k, before; // rows of the levels before it
    __device__ inline int64_t row(int64_t entry) const { return entry / k - before; }
};

__global__ void __launch_bounds__(kThreads)
    ragged_weight_gradient_kernel(RaggedWeights of, float *__restrict__ dw_enc, float *__restrict__ dw_dec) {
    const int64_t latent = blockIdx.x;
    const int64_t begin = of.lists.offsets[latent];
    const int64_t end = of.lists.offsets[latent + 1];
    const int64_t aux_begin = of.aux.offsets == nullptr ? 0 : of.aux.offsets[latent];
    const int64_t aux_end = of.aux.offsets == nullptr ? 0 : of.aux.offsets[latent + 1];
    if (of.add && begin == end && aux_begin == aux_end) {
        return;
    }
    const EntriesOfRows rows{of.batch.row_of};
    const EntriesOfK aux_rows{of.aux.k};
    const EntriesOfLevel aux_inputs{of.aux.k, of.levels.of(latent) * of.batch.rows};
    const float *gradient = of.gradients + of.prefixes.of(latent) * of.batch.rows * of.d_out;
    const bool has_norm = of.dnorm != nullptr && of.norms[latent] > 0.0f;
    const float by_norm = has_norm ? static_cast<float>(of.dnorm[latent] / of.norms[latent]) : 0.0f;
    const auto sum = [&](const float *factor, const float *source, int64_t d, int64_t column) {
        return list_sum(rows, of.lists.order, begin, end, factor, source, d, column);
    };
    const auto aux_sum = [&](const auto &rows_of, const float *factor, const float *source, int64_t d, int64_t column) {
        return list_sum(rows_of, of.aux.order, aux_begin, aux_end, factor, source, d, column);
    };
    for (int64_t column = threadIdx.x; column < of.d_out; column += kThreads) {
        const int64_t at = latent * of.d_out + column;
        float decoder = sum(of.batch.values, gradient, of.d_out, column) +
                        aux_sum(aux_rows, of.aux.values, of.aux.gradient, of.d_out, column);
        if (of.gate != nullptr) {
            decoder += sum(of.gate, of.gate_gradient, of.d_out, column);
        }
        if (has_norm) {
            decoder = fmaf(by_norm, of.w_dec[at], decoder);
        }
        dw_dec[at] = of.add ? dw_dec[at] + decoder : decoder;
    }
    for (int64_t column = threadIdx.x; column < of.d_in; column += kThreads) {
        const int64_t at = latent * of.d_in + column;
        const float encoder =
            sum(of.dz, of.input, of.d_in, column) + aux_sum(aux_inputs, of.aux.dz, of.input, of.d_in, column);
        dw_enc[at] = of.add ? dw_enc[at] + encoder : encoder;
    }
}

/* For a warp; every lane gets it. */
__device__ inline double sum_of_terms(const uint32_t *order, int64_t begin, int64_t end, const float *terms) {
    double sum = 0.0;
    for (int64_t at = begin + static_cast<int>(threadIdx.x) % kWarp; at < end; at += kWarp) {
        sum += terms[order[at]];
    }
    return warp_sum(sum);
}

template <typename Into>
__global__ void __launch_bounds__(kThreads)
    latent_sums_kernel(RaggedLists lists, const float *__restrict__ terms, SparseList aux, int64_t d_sae, bool add,
                       Into *__restrict__ into) {
    const int64_t latent = static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
    if (latent >= d_sae) {
        return; // the same for the whole warp
    }
    double sum = sum_of_terms(lists.order, lists.offsets[latent], lists.offsets[latent + 1], terms);
    if (aux.offsets != nullptr) {
        sum += sum_of_terms(aux.order, aux.offsets[latent], aux.offsets[latent + 1], aux.dz);
    }
    if (threadIdx.x % kWarp == 0) {
        const auto rounded = static_cast<Into>(sum); // as it would be if added from another trainer
        into[latent] = add ? into[latent] + rounded : rounded;
    }
}

} // namespace

cudaError_t launch_prefix_gradients(const StepSums *sums, bool detach, const Prefixes &prefixes, int64_t count,
                                    float *errors, const Residuals &residuals, cudaStream_t stream) {
    return launch(prefix_gradients_kernel, divide_up(count, kThreads), stream, sums, detach, prefixes, count, errors,
                  residuals);
}

cudaError_t launch_entry_gradient(const RaggedBatch &batch, const Prefixes &prefixes, const float *gradients,
                                  const float *w_dec, int64_t d_out, float *dz, cudaStream_t stream) {
    return launch(entry_gradient_kernel, divide_up(batch.entries, kWarps), stream, batch, prefixes, gradients, w_dec,
                  d_out, dz);
}

cudaError_t launch_ragged_weight_gradient(const RaggedWeights &of, float *dw_enc, float *dw_dec, cudaStream_t stream) {
    return launch(ragged_weight_gradient_kernel, of.d_sae, stream, of, dw_enc, dw_dec);
}

cudaError_t launch_latent_sums(const RaggedLists &lists, const float *terms, const SparseList &aux, int64_t d_sae,
                               bool add, float *into, cudaStream_t stream) {
    return launch(latent_sums_kernel<float>, divide_up(d_sae, kWarps), stream, lists, terms, aux, d_sae, add, into);
}

cudaError_t launch_latent_sums(const RaggedLists &lists, const float *terms, int64_t d_sae, double *into,
                               cudaStream_t stream) {
    return launch(latent_sums_kernel<double>, divide_up(d_sae, kWarps), stream, lists, terms, SparseList{}, d_sae,
                  false, into);
}

} // namespace sae::cuda
