/* update.h: the update from gradients in memory, which steps and batches in parts share; definitions are in update.cu. */
#ifndef SAE_CUDA_UPDATE_H
#define SAE_CUDA_UPDATE_H

#include "../dead/dead.h"
#include "adam.h"
#include "losses.h"
#include "trainer.h"

namespace sae::cuda {

/* Scratch of a step's forward and backward passes and of its update. */
struct SumsScratch {
    StepSums *sums;   // [1]
    DeadLatents dead; // one part
    int *in_block;
    double *partials;      // column sums of up to max(B, m) rows
    double *columns;       // [d_out]
    double *squares;       // [B] per row; then per gradient
    float *b_dec_gradient; // [d_out]

    SumsScratch(Carver &carver, const Params &params, int64_t rows)
        : sums(carver.take<StepSums>(1)), dead{carver.take<int>(params.d_sae), carver.take<int>(params.d_sae),
                                               carver.take<int>(2), params.d_sae, 1},
          in_block(carver.take<int>(divide_up(params.d_sae, kThreads))),
          partials(carver.take<double>(column_scratch(std::max(rows, params.d_sae), params.d_out))),
          columns(carver.take<double>(params.d_out)),
          squares(carver.take<double>(std::max(rows, kTensors * kSquareBlocks))),
          b_dec_gradient(carver.take<float>(params.d_out)) {}
};

/* Queues the update from the trainer's gradients, those of `rows` rows in all. */
void enqueue_update(Trainer &trainer, const SumsScratch &scratch, int64_t rows);

/* After an update: nothing derived from the parameters is current. */
void parameters_changed(const Params &params);

} // namespace sae::cuda
#endif
