/* forward.h: the launch of the fused forward pass; definitions and cost are in forward.cu. */
#ifndef SAE_CUDA_FORWARD_H
#define SAE_CUDA_FORWARD_H

#include "../train/step_state.h"

namespace sae::cuda {

struct ForwardInputs {
    int64_t rows, k, d_in, slices; // slices = forward_slices(d_in, k, w_dec.bf16)
    const int *indices;            // [rows, k]
    const float *values;           // [rows, k]
    Gathered w_dec;
    const float *b_dec;
    const float *x;
    const int *n_dead;    // null: no auxiliary loss
    const StepSums *sums; // with the variance of x
    LossOptions loss;
    bool detach;
};
struct ForwardOutputs {
    float *gradient;     // [rows, d_in]
    uint16_t *rounded;   // the same in bf16, in rows of w_dec.stride elements; null: not wanted
    float *aux_gradient; // [rows, d_in]: z_aux W_dec on entry, its gradient on return; null: no auxiliary loss
    float *dz_parts;     // [slices, rows k]
    double *squares;     // [3, slices rows]
};
int64_t forward_slices(int64_t d_in, int64_t k, bool bf16);
cudaError_t launch_forward(const ForwardInputs &in, const ForwardOutputs &out, cudaStream_t stream);

} // namespace sae::cuda
#endif
