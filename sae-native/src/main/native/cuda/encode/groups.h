/* groups.h: the choice of SAE_GROUP_MAX, for sae_encode and for training (encode_rules.cu). */
#ifndef SAE_CUDA_GROUPS_H
#define SAE_CUDA_GROUPS_H

#include "selection.h"

namespace sae::cuda {

/* Of the prepared rows `input` the largest of each of k groups, sorted, into indices and values [rows, k]. The selection is
 * one of k = d_sae. Does not wait. */
void choose_of_groups(const Params &params, const Selection &selection, const float *input, int64_t rows, int64_t k,
                      int *indices, float *values);

} // namespace sae::cuda
#endif
