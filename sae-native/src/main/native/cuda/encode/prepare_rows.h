/* prepare_rows.h: the launch that prepares rows for the encoder; contract and cost are in prepare_rows.cu. */
#ifndef SAE_CUDA_PREPARE_ROWS_H
#define SAE_CUDA_PREPARE_ROWS_H

#include "shadow.h"

namespace sae::cuda {

struct PrepareRows {
    const float *x;     // [rows, d_in]
    const float *b_dec; // [d_in], null: nothing is subtracted
    int64_t rows;
    int64_t d_in;
    float *centred; // [rows, d_in], null together with b_dec
    int *bad_row;
    uint16_t *rounded; // [rows, depth]; null: not wanted
    RowBound *bounds;
    int64_t depth;
    Narrow format;
};
cudaError_t launch_prepare_rows(const PrepareRows &rows, cudaStream_t stream);
/* Only the finite check. */
void require_finite_on_device(const Params &params, const float *matrix, int64_t rows, int64_t columns, int *bad_row);

} // namespace sae::cuda
#endif
