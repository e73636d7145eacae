/* matmul_nt.cu: sae_matmul_nt and the launch of the dense product; formula, shapes and cost are in matmul_nt.cuh. */
#include "matmul_nt.cuh"

#include "operations.h"

namespace sae::cuda {

cudaError_t launch_matmul_nt(const float *a, int64_t m, const float *b, int64_t n, int64_t inner, const int *b_rows,
                             const int *n_active, const float *bias, float *c, cudaStream_t stream) {
    const int64_t tiles = divide_up(m, kTile) * divide_up(n, kTile);
    return launch(matmul_nt_kernel, tiles, stream, a, m, b, n, inner, b_rows, n_active, bias, c);
}

namespace {

struct MatmulScratch {
    Staged<float> a;
    Staged<float> b;
    Staged<float> c;

    MatmulScratch(Carver &carver, int64_t m, int64_t n, int64_t inner, const Buffer &a_, const Buffer &b_,
                  const Buffer &c_)
        : a(carver, a_, m * inner), b(carver, b_, n * inner), c(carver, c_, m * n) {}
};

} // namespace

sae_status matmul_nt(void *handle, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        const auto scratch = context.scratch.make<MatmulScratch>(m, n, inner, *static_cast<Buffer *>(a),
                                                                 *static_cast<Buffer *>(b), *static_cast<Buffer *>(c));
        check(launch_matmul_nt(scratch.a.upload(), m, scratch.b.upload(), n, inner, nullptr, nullptr, nullptr,
                               scratch.c.address, context.stream),
              "multiplying matrices");
        scratch.c.download();
    });
}

} // namespace sae::cuda
