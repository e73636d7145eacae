/* device_radix_sort.cuh, for tests: the part of cub::DeviceRadixSort::SortPairs's contract that csc.cu relies on. */
#ifndef SAE_CUDA_ON_CPU_RADIX_SORT_H
#define SAE_CUDA_ON_CPU_RADIX_SORT_H

#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"

namespace cub {

struct DeviceRadixSort {
    template <typename Key, typename Value, typename Count>
    static cudaError_t SortPairs(void *temporary, size_t &bytes, const Key *keys_in, Key *keys_out,
                                 const Value *values_in, Value *values_out, Count count, int begin_bit, int end_bit,
                                 cudaStream_t) {
        if (temporary == nullptr) {
            bytes = 1;
            return cudaSuccess;
        }
        cuda_on_cpu::enqueue([=] { sort(keys_in, keys_out, values_in, values_out, count, begin_bit, end_bit); });
        return cudaSuccess;
    }

  private:
    template <typename Key, typename Value, typename Count>
    static void sort(const Key *keys_in, Key *keys_out, const Value *values_in, Value *values_out, Count count,
                     int begin_bit, int end_bit) {
        if (!cuda_on_cpu::begin_library_call(2 + (end_bit - begin_bit + 7) / 8)) { // histogram, its sums, digits
            return;
        }
        const cuda_on_cpu::DeviceScope scope;
        const Key mask = end_bit - begin_bit >= 32 ? ~Key{0} : (Key{1} << (end_bit - begin_bit)) - 1;
        std::vector<size_t> order(count);
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
            return (keys_in[a] >> begin_bit & mask) < (keys_in[b] >> begin_bit & mask);
        });
        for (size_t i = 0; i < order.size(); i++) {
            keys_out[i] = keys_in[order[i]];
            values_out[i] = values_in[order[i]];
        }
    }
};

} // namespace cub
#endif
