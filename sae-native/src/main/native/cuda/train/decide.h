/* decide.h: what the kernel of the lists decides for the rest of a fused step; definitions are in decide.cuh. */
#ifndef SAE_CUDA_DECIDE_H
#define SAE_CUDA_DECIDE_H

#include "../encode/select.h"
#include "step_state.h"

namespace sae::cuda {

struct ClipBound {
    bool subtract_b_dec, train_decoder, train_b_enc;
    const double *weight_squares; // [2]: of W_enc and of W_dec
};
struct Decision {
    int64_t rows;
    const int64_t *active; // kept values
    const SelectionCounts *counts;
    const int *n_dead;
    ClipBound bound;
    LossOptions loss;
    AdamOptions adam;
    StepSums *sums;
    StepStatus *status;
    Condition measure_norm; // the branch that runs if clipping is not ruled out
};

} // namespace sae::cuda
#endif
