/* step_state.h: what a training step keeps on the device, and the options that its kernels read. */
#ifndef SAE_CUDA_STEP_STATE_H
#define SAE_CUDA_STEP_STATE_H

#include "../device/device.h"

namespace sae::cuda {

#ifndef SAE_SUM_BLOCKS // tests on the CPU make it small
#define SAE_SUM_BLOCKS 256
#endif

struct StepTotals { // of a batch, or of several parts of one; losses times a weight
    double reconstruction;
    double aux;
    double active;
    double squared_error;
    double variance;
    double listed;     // as SAE_STAT_LISTED, summed over rows
    double overflowed; // SAE_STAT_OVERFLOWED
    double sparsity;
    double least; // kept value > 0; infinity: none
};

struct StepStatus {  // of a trainer
    int bad_row;     // first row of this batch, or of a part of it, with NaN or infinity; kNoBadRow: none
    int refused_row; // the same for the last refused batch, until trainer_stats reports it
    int64_t steps;   // SAE_STATE_STEPS
    double stats[SAE_STAT_COUNT];
    StepTotals parts;         // sums of this step so far, weighted by rows; unused by the fused step
    double learned_threshold; // SAE_STATE_LEARNED_THRESHOLD
    double averaging[2];      // SAE_STATE_AVERAGING
};

struct StepSums { // of one step
    double lr;
    double squared_error;
    double variance; // of x about its column means, summed over columns
    double squared_residual;
    double residual_variance; // of e about its column means, summed over columns
    double active;
    double listed;
    double overflowed;
    double error_scale; // dL/dx_hat = error_scale e + aux_scale r
    double aux_scale;
    double clip;
    double step_size;         // lr / (1 - beta1^t)
    double second_correction; // 1 / sqrt(1 - beta2^t)
    double input_squares;     // of the encoder's input
    int needs_norm;           // 1: the bound does not rule out clipping
    uint32_t encoder_seed;    // for this step's stochastic rounding
    uint32_t decoder_seed;
    double average_share; // of this step's iterate in the average (SAE_SIGNUM)
};

struct LossOptions {
    int loss;     // SAE_LOSS_*
    int aux_norm; // SAE_AUX_*
    double aux_coefficient;
    double per_dead; // share of the auxiliary loss per dead latent, up to 1 together
};

struct AdamOptions {
    double beta1;
    double beta2;
    double eps;
    double clip_norm;
    int decoder_norm; // SAE_DECODER_NORM_*
    bool project_gradient;
};

} // namespace sae::cuda
#endif
