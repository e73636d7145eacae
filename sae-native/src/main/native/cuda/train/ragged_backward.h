/* ragged_backward.h: launches of a ragged step's gradients; definitions and cost are in ragged_backward.cu. */
#ifndef SAE_CUDA_RAGGED_BACKWARD_H
#define SAE_CUDA_RAGGED_BACKWARD_H

#include "backward.h"
#include "ragged_batch.h"
#include "step_state.h"

namespace sae::cuda {

/* The auxiliary loss's residuals [levels, rows, d_out], which become gradients. */
struct Residuals {
    int levels = 0;
    const double *scales = nullptr; // [levels]
    float *of = nullptr;
};
/* errors [prefixes, rows, d_out] become gradients. detach: they get none of the residuals'; otherwise there is at most one
 * level. count: rows d_out */
cudaError_t launch_prefix_gradients(const StepSums *sums, bool detach, const Prefixes &prefixes, int64_t count,
                                    float *errors, const Residuals &residuals, cudaStream_t stream);
/* dz [entries] = <the row's gradient of the latent's prefix, W_dec[latent]>; gradients [prefixes, rows, d_out] */
cudaError_t launch_entry_gradient(const RaggedBatch &batch, const Prefixes &prefixes, const float *gradients,
                                  const float *w_dec, int64_t d_out, float *dz, cudaStream_t stream);

struct RaggedWeights {
    RaggedBatch batch;
    RaggedLists lists;
    Prefixes prefixes;
    const float *gradients; // [prefixes, rows, d_out]
    const float *dz;        // [entries]
    const float *gate;      // [entries] decoded by the gates, with their gradient [rows, d_out]; null: none
    const float *gate_gradient;
    const double *dnorm; // [m] dL/d|W_dec[j]|; null: none
    const float *norms;  // [m]
    const float *w_dec;
    SparseList aux; // its rows are those of all levels, one level's after the other's
    Prefixes levels;
    const float *input; // [rows, d_in]
    int64_t d_in, d_out, d_sae;
    bool add;
};
cudaError_t launch_ragged_weight_gradient(const RaggedWeights &of, float *dw_enc, float *dw_dec, cudaStream_t stream);

/* into[j] = sum over latent j's entries of terms[entry], and of those of aux if it has lists; or into[j] += */
cudaError_t launch_latent_sums(const RaggedLists &lists, const float *terms, const SparseList &aux, int64_t d_sae,
                               bool add, float *into, cudaStream_t stream);
cudaError_t launch_latent_sums(const RaggedLists &lists, const float *terms, int64_t d_sae, double *into,
                               cudaStream_t stream);

} // namespace sae::cuda
#endif
