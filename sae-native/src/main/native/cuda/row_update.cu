/* row_update.cu: chooses the shape of the weight update; definitions are in row_update.cuh. */
#include "row_update.cuh"

#include <algorithm>

namespace sae::cuda {
namespace {

using Kernel = void (*)(RowUpdate);

template <typename Moment, typename Element>
Kernel kernel_of(int64_t d_in) {
    const int64_t chunks = divide_up(d_in, d_in % 4 == 0 ? 4 * kThreads : kThreads);
    if (d_in % 4 == 0) {
        return chunks <= 1   ? row_update_kernel<Moment, Element, 4, 1>
               : chunks <= 2 ? row_update_kernel<Moment, Element, 4, 2>
               : chunks <= 3 ? row_update_kernel<Moment, Element, 4, 3>
               : chunks <= 4 ? row_update_kernel<Moment, Element, 4, 4>
               : chunks <= 8 ? row_update_kernel<Moment, Element, 4, 8>
                             : nullptr;
    }
    return chunks <= 1   ? row_update_kernel<Moment, Element, 1, 1>
           : chunks <= 2 ? row_update_kernel<Moment, Element, 1, 2>
           : chunks <= 8 ? row_update_kernel<Moment, Element, 1, 8>
                         : nullptr;
}

template <typename Moment>
Kernel kernel_of(const RowUpdate &update) {
    return update.input.bf16 ? kernel_of<Moment, Bf16>(update.d_in) : kernel_of<Moment, float>(update.d_in);
}

constexpr int64_t kLeastGroup = 8;
constexpr int64_t kMostGroups = 8192; // bounds the size of `through`

} // namespace

bool row_update_fits(int64_t d_in) { return kernel_of<float, float>(d_in) != nullptr; }

int64_t row_update_group(int64_t d_sae) { return std::max(kLeastGroup, divide_up(d_sae, kMostGroups)); }

cudaError_t launch_row_update(const RowUpdate &update, bool bf16_moments, int64_t most_rows, cudaStream_t stream) {
    const Kernel kernel = bf16_moments ? kernel_of<Bf16>(update) : kernel_of<float>(update);
    return launch(kernel, divide_up(most_rows, update.group), stream, update);
}

} // namespace sae::cuda
