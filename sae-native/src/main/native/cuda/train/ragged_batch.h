/* ragged_batch.h: what a batch of ragged rows keeps, on the device, for the kernels of a ragged step (step_ragged.cu). */
#ifndef SAE_CUDA_RAGGED_BATCH_H
#define SAE_CUDA_RAGGED_BATCH_H

#include "../device/device.h"
#include "ragged_options.h"

namespace sae::cuda {

struct RaggedBatch {
    int64_t rows;
    int64_t entries;
    const int64_t *starts; // [rows + 1]
    const int *indices;    // [entries], ascending in a row
    const float *values;   // [entries]; 0: only the threshold's or the gate's gradient needs the entry
    const uint32_t *row_of;
};

/* The same entries by latent (csc.cu). */
struct RaggedLists {
    const uint32_t *order;  // [entries]
    const int64_t *offsets; // [m + 1]
};

/* Scalars of a ragged step, besides StepSums. */
struct RaggedSums {
    double prefix_squares[SAE_MOST_PREFIXES]; // sums of e^2
    double gate_squares;                      // the same of what the gates decode to
    /* of the auxiliary loss, by level */
    double residual_squares[SAE_MOST_PREFIXES];
    double residual_variance[SAE_MOST_PREFIXES]; // of its e about the column means
    double aux_scale[SAE_MOST_PREFIXES];         // as in StepSums
    double sparsity;                             // the sparsity term of all rows
    double least;                                // kept value > 0; infinity: none
    double penalty;                              // c, with its warm-up
    double step_slope;                           // d(sparsity term)/dL0 of a row, where it is the same for all rows
};

} // namespace sae::cuda
#endif
