/* selection.h: the choice of latents for rows, which encode_topk and training share (encode_topk.cu). */
#ifndef SAE_CUDA_SELECTION_H
#define SAE_CUDA_SELECTION_H

#include "select.h"

namespace sae::cuda {

/* Scratch of an encode: the pre-activations that exist at a time, and the lists taken from them. */
struct Selection {
    int64_t rows;
    int64_t k;           // of the current choice
    int64_t chunk;       // rows whose pre-activations are all stored at a time
    int64_t listed_rows; // rows with a list at a time; 0: no lists
    int64_t capacity;    // of a list
    int64_t scored;      // elements of `scores`
    float *scores;
    uint64_t *keys;
    RowsView rounded; // null without a shadow
    uint64_t *list;
    int *count;
    float *threshold;
    int *overflowed;         // [rows]
    SelectionCounts *counts; // cleared by each choice among all latents, which adds to them if it uses lists
    int64_t slots;           // rows that are recomputed at a time, their scores in `list`
    int *done;               // counters of recompute.cu
    int64_t cleared;         // bytes from `counts` on that start at 0

    /* k: of the choice among all latents; widest: the largest k of any choice */
    Selection(Carver &carver, const Params &params, int64_t rows, int64_t k, int64_t widest);
};

/* among and n_among: the list of latents to choose from and its length, on the device; null: all. */
void select_latents(const Params &params, const Selection &selection, const float *input, const int *among,
                    const int *n_among, int *indices, float *values);

/* Rows the encoder reads: x itself, or x - b_dec in `centred`; and the screen's view of them, in `selection`.
 * Lowers bad_row to the first row that is not finite. */
const float *prepare_rows(const Params &params, const Selection &selection, const float *x, int64_t rows,
                          float *centred, int *bad_row);

/* The same for rows that are already prepared, by whatever means. */
void round_rows(const Params &params, const Selection &selection, const float *input, int64_t rows, int *bad_row);

} // namespace sae::cuda
#endif
