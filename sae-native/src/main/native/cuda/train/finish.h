/* finish.h: the launch that ends a fused step; definitions and cost are in finish.cu. */
#ifndef SAE_CUDA_FINISH_H
#define SAE_CUDA_FINISH_H

#include "../encode/shadow.h"
#include "row_update.h"
#include "step_state.h"

namespace sae::cuda {

struct Finish {
    int64_t rows, d_in, groups;
    const float *gradient;  // [rows, d_in]
    const float *through;   // [groups, d_in]; null: nothing passes through the encoder
    const double *by_group; // [3, groups], from the row update
    ShadowView shadow;      // of the new W_enc; none if `rounded` is null
    MatrixState b_dec;
    bool train_decoder, norm_only;
    AdamOptions adam;
    StepSums *sums;
    StepStatus *status;
    double *weight_squares; // [2]
    double *partials;       // [finish_scratch(rows, d_in, groups)]
    uint32_t *arrived;      // [1 + divide_up(d_in, kThreads)], 0 before and after
};
int64_t finish_scratch(int64_t rows, int64_t d_in, int64_t groups);
cudaError_t launch_finish(const Finish &finish, cudaStream_t stream);

} // namespace sae::cuda
#endif
