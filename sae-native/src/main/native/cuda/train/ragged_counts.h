/* ragged_counts.h: launches that count a batch of ragged rows; definitions and cost are in ragged_counts.cu. */
#ifndef SAE_CUDA_RAGGED_COUNTS_H
#define SAE_CUDA_RAGGED_COUNTS_H

#include "ragged_batch.h"
#include "step_state.h"

namespace sae::cuda {

/* row_of [entries]: the row of each entry */
cudaError_t launch_row_numbers(const int64_t *starts, int64_t rows, uint32_t *row_of, cudaStream_t stream);
/* active [rows]: a row's values > 0, in StepSums all of them; the least of them in RaggedSums. least: scratch [rows] */
cudaError_t launch_count_rows(const RaggedBatch &batch, double *active, double *least, StepSums *sums,
                              RaggedSums *ragged, cudaStream_t stream);
/* record [d_sae] = whether a value of the latent is > 0, or (unless first) its record is set */
cudaError_t launch_mark_fired(const RaggedBatch &batch, const RaggedLists &lists, int64_t d_sae, bool first,
                              unsigned char *record, cudaStream_t stream);

/* starts [levels.count + 1]: where each level's own latents, those that no shorter one has, begin in the ascending list of n */
cudaError_t launch_level_starts(const int *list, const int *n, const Prefixes &levels, int *starts,
                                cudaStream_t stream);

} // namespace sae::cuda
#endif
