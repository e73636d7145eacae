/* forward.cu: chooses the shape of the fused forward pass; definitions are in forward.cuh. */
#include "forward.cuh"

namespace sae::cuda {
namespace {

/* A warp's registers, by k: Slots x Chunks is always 16. */
struct ForwardShape {
    int slots;
    int chunks;
    bool again;
};

ForwardShape forward_shape(int64_t k) {
    return k <= 16    ? ForwardShape{2, 8, false}
           : k <= 32  ? ForwardShape{4, 4, false}
           : k <= 64  ? ForwardShape{8, 2, false}
           : k <= 128 ? ForwardShape{16, 1, false}
                      : ForwardShape{8, 2, true};
}

int forward_width(int64_t d_in) { return d_in % 4 == 0 ? 4 : 1; }

using Kernel = void (*)(ForwardInputs, ForwardOutputs);

template <typename Element, int Width>
Kernel forward_kernel_of(int64_t k) {
    const ForwardShape shape = forward_shape(k);
    return shape.again        ? forward_kernel<Element, Width, 8, 2, true>
           : shape.slots == 2 ? forward_kernel<Element, Width, 2, 8, false>
           : shape.slots == 4 ? forward_kernel<Element, Width, 4, 4, false>
           : shape.slots == 8 ? forward_kernel<Element, Width, 8, 2, false>
                              : forward_kernel<Element, Width, 16, 1, false>;
}

template <typename Element>
Kernel forward_kernel_of(const ForwardInputs &in) {
    return forward_width(in.d_in) == 4 ? forward_kernel_of<Element, 4>(in.k) : forward_kernel_of<Element, 1>(in.k);
}

} // namespace

int64_t forward_slices(int64_t d_in, int64_t k) {
    return divide_up(d_in, kWarp * forward_width(d_in) * forward_shape(k).chunks);
}

cudaError_t launch_forward(const ForwardInputs &in, const ForwardOutputs &out, cudaStream_t stream) {
    const Kernel kernel = in.w_dec.bf16 ? forward_kernel_of<Bf16>(in) : forward_kernel_of<float>(in);
    return launch(kernel, in.rows * in.slices, stream, in, out);
}

} // namespace sae::cuda
