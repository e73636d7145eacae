/* ragged.h: rows of different lengths, from dense products or from lists; contract and cost are in ragged.cu. */
#ifndef SAE_CUDA_RAGGED_H
#define SAE_CUDA_RAGGED_H

#include "firing.h"

namespace sae::cuda {

/* Ragged rows in the making. Entries at `room` and beyond are counted, not written. */
struct Ragged {
    int64_t *starts; // [rows + 1]: where each row begins; of rows not yet counted: unspecified
    int *offsets;    // the same as int32, as far as it fits; null: not wanted
    int *indices;    // [room]
    float *values;
    int64_t room;
};

/* Products of rows with all latents, without bias. */
struct Products {
    const float *scores; // [slots, columns]
    int64_t columns;
    const int *names; // slot s is row names[s]; null: row first_row + s
    int64_t first_row;
    Firing firing;
};

/* kept[row] = how many latents fire */
cudaError_t launch_count(const Products &products, int64_t slots, int *kept, cudaStream_t stream);
/* Row first + i starts where the rows before it end; starts[first] is known. */
cudaError_t launch_scan(const int *kept, int64_t first, int64_t rows, const Ragged &into, cudaStream_t stream);
cudaError_t launch_fill(const Products &products, int64_t slots, const Ragged &into, cudaStream_t stream);

/* Rows [first, first + rows) from their lists: the first kept[first + i] entries of list [rows, capacity], each (bits of
 * the value) << 32 | latent, where count[i] >= 0. */
cudaError_t launch_fill_listed(const uint64_t *list, int64_t capacity, const int *count, const int *kept, int64_t first,
                               int64_t rows, const Ragged &into, cudaStream_t stream);

} // namespace sae::cuda
#endif
