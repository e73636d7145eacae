/* select.h: the choice among pre-activations; contract and cost are in select.cu. B rows, m = d_sae. */
#ifndef SAE_CUDA_SELECT_H
#define SAE_CUDA_SELECT_H

#include "shadow.h"

namespace sae::cuda {

constexpr int64_t kMostListed = 512; // the largest k that uses lists
constexpr int kOverflowed = 1 << 30; // the count of a row whose list overflowed

struct SelectionCounts {       // of an encode
    unsigned long long listed; // entries of all lists, in all rounds
    int overflowed;            // rows whose list overflowed
    int unused;
};

struct Choice { // of the k largest of each row
    int64_t k;
    int64_t columns;  // all columns, ignoring n_active
    const int *names; // as in Operands; only without lists
    const int *n_active;
    const float *scores; // dense columns [0, width) with their stride; null: lists only
    int64_t width;
    int64_t stride;
    uint64_t *list; // [rows, capacity]; null: `scores` holds all columns, an overflowing row is chosen from it
    int *count;
    float *threshold; // raised
    int64_t capacity;
    const RowBound *rows; // null: scores are the values
    const LatentBound *latents;
    const LatentBound *groups;
    const float *input; // float32 x, weights and bias, for the values of the final candidates
    const float *w_enc;
    const float *b_enc;
    int64_t d_in;
    bool last;    // write indices and values; otherwise lists and thresholds
    int *indices; // [rows, k]
    float *values;
    int *overflowed; // rows that overflowed, relative to first_row
    SelectionCounts *counts;
    int64_t first_row;
};

cudaError_t launch_choose(const Choice &choice, int64_t rows, cudaStream_t stream);

} // namespace sae::cuda
#endif
