/* choose_dead.h: the auxiliary loss's choice among the dead latents; contract and cost are in choose_dead.cu. */
#ifndef SAE_CUDA_CHOOSE_DEAD_H
#define SAE_CUDA_CHOOSE_DEAD_H

#include "aux_scratch.h"
#include "dead.h"

namespace sae::cuda {

/* Writes aux.indices and aux.values. input: the encoder's, float32 [rows, d_in]; rounded: the same in bf16, for
 * precision=bf16. */
void choose_dead(const Params &params, const AuxScratch &aux, const DeadLatents &dead, int64_t rows, const float *input,
                 const RowsView &rounded);

} // namespace sae::cuda
#endif
