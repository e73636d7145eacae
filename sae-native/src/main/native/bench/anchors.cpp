/* anchors.cpp: what this GPU does at best; every floor is computed from these. See bench.h. */
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "bench.h"

namespace bench {
namespace {

#ifdef SAE_CUDA_ON_CPU_H
constexpr int64_t kCopy = 1 << 16, kWorkingSet = 1 << 12;
#else
constexpr int64_t kCopy = int64_t{1} << 30, kWorkingSet = 32 << 20;
#endif
constexpr int kRounds = 20;

/* cublasGemmEx from an optional library. */
class Cublas {
  public:
    explicit Cublas(cudaStream_t stream) {
        void *library = dlopen("libcublas.so.13", RTLD_NOW);
        if (library == nullptr) {
            std::fprintf(stderr, "gpu_bench: no libcublas.so.13 (%s): its product is not measured\n", dlerror());
            return;
        }
        const auto create = reinterpret_cast<int (*)(void **)>(dlsym(library, "cublasCreate_v2"));
        const auto set_stream = reinterpret_cast<int (*)(void *, cudaStream_t)>(dlsym(library, "cublasSetStream_v2"));
        gemm_ = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmEx"));
        if (create == nullptr || set_stream == nullptr || create(&handle_) != 0 || set_stream(handle_, stream) != 0) {
            gemm_ = nullptr;
        }
    }
    bool there() const { return gemm_ != nullptr; }

    /* c [m, n] = a [m, inner] b^T, bf16 in, float32 sums, bf16 out, row-major. */
    void multiply(const void *a, const void *b, void *c, int64_t m, int64_t n, int64_t inner) const {
        constexpr int kTransposed = 1, kPlain = 0, kBf16 = 14, kCompute32F = 68, kDefault = -1;
        const float one = 1, zero = 0;
        const int status = gemm_(handle_, kTransposed, kPlain, static_cast<int>(n), static_cast<int>(m),
                                 static_cast<int>(inner), &one, b, kBf16, static_cast<int>(inner), a, kBf16,
                                 static_cast<int>(inner), &zero, c, kBf16, static_cast<int>(n), kCompute32F, kDefault);
        if (status != 0) {
            std::fprintf(stderr, "gpu_bench: cublasGemmEx: status %d\n", status);
            std::exit(1);
        }
    }

  private:
    using Gemm = int (*)(void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                         const void *, void *, int, int, int, int);
    void *handle_ = nullptr;
    Gemm gemm_ = nullptr;
};

} // namespace

void measure_bandwidths(const Timer &timer, Anchors &anchors) {
    const Device from(kCopy), to(kCopy);
    fill_normal(from.as<float>(), kCopy / 4, 3, timer.stream());
    const Times copy = timer.launches([&] {
        must(cudaMemcpyAsync(to.as<void>(), from.as<void>(), static_cast<size_t>(kCopy), cudaMemcpyDeviceToDevice,
                             timer.stream()),
             "copying");
    });
    const Times read =
        timer.launches([&] { read_l2(from.as<float>(), kWorkingSet, kRounds, to.as<float>(), timer.stream()); });
    anchors.copy_gb = 2.0 * kCopy / copy.median() / 1e3;
    anchors.l2_gb = 1.0 * kWorkingSet * kRounds / read.median() / 1e3;
}

double measure_cublas(const Timer &timer, const Shape &shape) {
    static const Cublas cublas(timer.stream());
    if (!cublas.there()) {
        return 0;
    }
    const Device a(2 * shape.rows * shape.d_in), b(2 * shape.d_sae * shape.d_in), c(2 * shape.rows * shape.d_sae);
    fill_bf16(a.as<uint16_t>(), shape.rows * shape.d_in, 1, timer.stream());
    fill_bf16(b.as<uint16_t>(), shape.d_sae * shape.d_in, 2, timer.stream());
    const Times times = timer.launches(
        [&] { cublas.multiply(a.as<void>(), b.as<void>(), c.as<void>(), shape.rows, shape.d_sae, shape.d_in); });
    return 2.0 * shape.b() * shape.m() * shape.d() / times.median() / 1e6;
}

} // namespace bench
