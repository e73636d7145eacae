/* list_sum.cuh: sums along a latent's list of entries. */
#ifndef SAE_CUDA_LIST_SUM_CUH
#define SAE_CUDA_LIST_SUM_CUH

#include "../device/device.h"

namespace sae::cuda {

constexpr int kRun = 32; // entries of a list summed before they join the total

struct EntriesOfK { // entry e belongs to row e / k
    int64_t k;
    __device__ inline int64_t row(int64_t entry) const { return entry / k; }
};

struct EntriesOfRows { // [entries]
    const uint32_t *row_of;
    __device__ inline int64_t row(int64_t entry) const { return row_of[entry]; }
};

/* sum over the list's positions [begin, end) of factor[entry] * source[row of entry, column]; run by run, which keeps
 * rounding error in long lists small */
template <typename Entries>
__device__ inline float list_sum(const Entries &of, const uint32_t *order, int64_t begin, int64_t end,
                                 const float *factor, const float *source, int64_t d_in, int64_t column) {
    float total = 0.0f;
    for (int64_t first = begin; first < end; first += kRun) {
        const int64_t last = first + kRun < end ? first + kRun : end;
        float sum = 0.0f;
        for (int64_t at = first; at < last; at++) {
            const int64_t entry = order[at];
            sum = fmaf(factor[entry], source[of.row(entry) * d_in + column], sum);
        }
        total += sum;
    }
    return total;
}

} // namespace sae::cuda
#endif
