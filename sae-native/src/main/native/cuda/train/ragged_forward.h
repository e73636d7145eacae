/* ragged_forward.h: what the rule of a ragged step keeps of a batch; definition and cost are in ragged_forward.cu. */
#ifndef SAE_CUDA_RAGGED_FORWARD_H
#define SAE_CUDA_RAGGED_FORWARD_H

#include "ragged_scratch.h"

namespace sae::cuda {

struct RaggedForward {
    RaggedScratch scratch;
    RaggedBatch batch;
    const float *x;
    const float *y;     // the target
    const float *input; // the encoder's: x or x - b_dec
};

/* Waits for everything queued. Changes nothing of the trainer but the room that later batches are given. */
RaggedForward forward_ragged(Trainer &trainer, const StepRows &of);

} // namespace sae::cuda
#endif
