/* multi_topk.h: the second loss of SAE_OPT_MULTI_TOPK: its scratch and its own launch; multi_topk.cu. */
#ifndef SAE_CUDA_MULTI_TOPK_H
#define SAE_CUDA_MULTI_TOPK_H

#include "trainer.h"

namespace sae::cuda {

struct MultiScratch {
    Kept kept;       // of K' latents a row
    float *error;    // [B, d_out] of what they decode to, then its gradient
    double *squares; // [1] sum of the error's squares

    MultiScratch(Carver &carver, const Trainer &trainer, int64_t rows)
        : kept(carver, rows, trainer.multi_k(), trainer.params.d_sae),
          error(carver.take<float>(rows * trainer.params.d_out)), squares(carver.take<double>(1)) {}
};

/* The first k of each row's `of` entries. */
cudaError_t launch_first_of_rows(const int *indices, const float *values, int64_t rows, int64_t of, int64_t k,
                                 int *first_indices, float *first_values, cudaStream_t stream);

} // namespace sae::cuda
#endif
