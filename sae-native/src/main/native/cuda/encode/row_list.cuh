/* row_list.cuh: the candidates of one row in shared memory, for select.cu, which has the contract. */
#ifndef SAE_CUDA_ROW_LIST_CUH
#define SAE_CUDA_ROW_LIST_CUH

#include "../device/reduce.cuh"
#include "epilogue.cuh"
#include "select.h"
#include "topk.cuh"

namespace sae::cuda {

/* The candidates of a row, in shared memory. Member functions are called by the whole block. */
template <bool kBounded>
class RowList {
  public:
    __device__ RowList(unsigned char *shared, int64_t capacity, int *count)
        : entries(reinterpret_cast<uint64_t *>(shared)), lower_(reinterpret_cast<uint32_t *>(entries + capacity)),
          count_(count) {}

    __device__ int64_t size() const { return *count_; }

    /* Appends (score, column) of every lane with a candidate; called by the whole warp. */
    __device__ void append(bool wanted, float score, int64_t column, float allowance) {
        const unsigned votes = __ballot_sync(kFullWarp, wanted);
        if (votes == 0) {
            return;
        }
        const int lane = static_cast<int>(threadIdx.x) % kWarp;
        int base = 0;
        if (lane == 0) {
            base = atomicAdd(count_, __popc(votes));
        }
        base = __shfl_sync(kFullWarp, base, 0);
        if (wanted) {
            put(base + __popc(votes & ((1u << lane) - 1u)), score, column, allowance);
        }
    }

    __device__ void put(int64_t slot, float score, int64_t column, float allowance) {
        entries[slot] = list_entry(score, column);
        const float lower = score - allowance;
        lower_[slot] = lower > 0.0f ? __float_as_uint(lower) : 0u;
    }

    /* Raises the threshold to the k-th largest lower bound, and drops candidates below it. */
    __device__ float shrink(int64_t k, float threshold, const Choice &choice, const RowBound &row) {
        const int64_t size = *count_;
        if (size > k) {
            const float found = __uint_as_float(kth_largest(size, k));
            threshold = found > threshold ? found : threshold;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            *count_ = 0;
        }
        for (int64_t first = 0; first < size; first += kThreads) { // writes stay behind the next reads
            const int64_t at = first + threadIdx.x;
            uint64_t entry = 0;
            uint32_t lower = 0;
            bool kept = false;
            if (at < size) {
                entry = entries[at];
                lower = lower_[at];
                const float score = __uint_as_float(static_cast<uint32_t>(entry >> 32));
                const int64_t column = static_cast<uint32_t>(entry);
                kept = ListCandidates<kBounded>::may_matter(score,
                                                            least_score(threshold, allowance_of(choice, row, column)));
            }
            __syncthreads();
            const unsigned votes = __ballot_sync(kFullWarp, kept);
            const int lane = static_cast<int>(threadIdx.x) % kWarp;
            int base = 0;
            if (lane == 0 && votes != 0) {
                base = atomicAdd(count_, __popc(votes));
            }
            base = __shfl_sync(kFullWarp, base, 0);
            if (kept) {
                const int64_t slot = base + __popc(votes & ((1u << lane) - 1u));
                entries[slot] = entry;
                lower_[slot] = lower;
            }
            __syncthreads();
        }
        return threshold;
    }

    __device__ static float allowance_of(const Choice &choice, const RowBound &row, int64_t column) {
        return kBounded ? margin(row, choice.latents[column]) : 0.0f;
    }

    uint64_t *entries;

    __device__ uint32_t *scratch() { return lower_; }

  private:
    /* k-th largest of lower_[0, size), size > k: 8 bits per pass from the top. */
    __device__ uint32_t kth_largest(int64_t size, int64_t k) {
        __shared__ unsigned histogram[kDigits];
        __shared__ unsigned chosen;
        __shared__ int64_t above;
        uint32_t prefix = 0;
        uint32_t mask = 0;
        for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
            histogram[threadIdx.x] = 0;
            __syncthreads();
            for (int64_t i = threadIdx.x; i < size; i += kThreads) {
                if ((lower_[i] & mask) == prefix) {
                    atomicAdd(&histogram[lower_[i] >> shift & (kDigits - 1)], 1u);
                }
            }
            __syncthreads();
            if (threadIdx.x < kWarp) {
                find_digit(histogram, k, &chosen, &above);
            }
            __syncthreads();
            k -= above;
            prefix |= chosen << shift;
            mask |= static_cast<uint32_t>(kDigits - 1) << shift;
            __syncthreads(); // before the next pass writes them
        }
        return prefix;
    }

    /* One warp: the largest digit with at least k keys in it and above; `above`: keys of larger digits. */
    __device__ static void find_digit(const unsigned *histogram, int64_t k, unsigned *chosen, int64_t *above) {
        constexpr int kPerLane = kDigits / kWarp;
        const int lane = static_cast<int>(threadIdx.x) % kWarp;
        const int top = kDigits - 1 - lane * kPerLane; // lane 0 has the largest digits
        int64_t own = 0;
        for (int i = 0; i < kPerLane; i++) {
            own += histogram[top - i];
        }
        int64_t through = own;
        for (int by = 1; by < kWarp; by *= 2) {
            const int64_t other = __shfl_up_sync(kFullWarp, through, static_cast<unsigned>(by));
            through += lane >= by ? other : 0;
        }
        int64_t before = through - own;
        if (before < k && through >= k) {
            int digit = top;
            while (before + histogram[digit] < k) {
                before += histogram[digit];
                digit--;
            }
            *chosen = static_cast<unsigned>(digit);
            *above = before;
        }
    }

    uint32_t *lower_;
    int *count_;
};

} // namespace sae::cuda
#endif
