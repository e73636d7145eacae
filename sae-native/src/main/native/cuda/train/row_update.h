/* row_update.h: the launch of the weight update; definitions and cost are in row_update.cu. */
#ifndef SAE_CUDA_ROW_UPDATE_H
#define SAE_CUDA_ROW_UPDATE_H

#include "../encode/shadow.h"
#include "lists.h"
#include "step_state.h"

namespace sae::cuda {

struct MatrixState {
    float *weights;
    void *first; // float32, or bfloat16 with bf16_moments
    void *second;
};
struct DenseGradients { // for a part of the dead latents
    const float *by_z;  // [most, d_in]
    const float *by_dz;
    const float *bias;
    const int *count; // null: this launch handles the live latents
    const int *latents;
};
struct RowUpdate {
    int64_t d_in, d_sae, group, groups;
    const int64_t *offsets;
    LatentLists lists;
    Gathered gradient, input; // both float32 or both bf16
    DenseGradients dense;
    const int *dead_rank; // null: no auxiliary loss
    MatrixState encoder, decoder, b_enc;
    ShadowView shadow;         // of the new W_enc; none if `rounded` is null
    uint16_t *rounded_decoder; // of the new W_dec, in rows of shadow.depth elements; null: none
    bool train_decoder, train_b_enc, norm_only;
    AdamOptions adam;
    const StepSums *sums;
    const StepStatus *status;
    double *by_group; // [3, groups]
    float *through;   // [groups, d_in]
};
bool row_update_fits(int64_t d_in); // whether a row fits the registers of a block
int64_t row_update_group(int64_t d_sae);
cudaError_t launch_row_update(const RowUpdate &update, bool bf16_moments, int64_t most_rows, cudaStream_t stream);

} // namespace sae::cuda
#endif
