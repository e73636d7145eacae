#include "blas.h"

#include <dlfcn.h>

#include <algorithm>

#include "guard.h"

namespace sae::cpu {
namespace {

/* cblas.h's */
constexpr int kRowMajor = 101;
constexpr int kAsIs = 111;
constexpr int kTransposed = 112;

template <typename F>
F symbol(void *library, const std::string &path, const char *name) {
    void *found = dlsym(library, name);
    if (found == nullptr) {
        fail(SAE_UNAVAILABLE, "expected option blas to be an OpenBLAS, got " + path + " without " + name);
    }
    return reinterpret_cast<F>(found);
}

} // namespace

Blas::Blas(const std::string &path) {
    if (path.empty()) {
        return;
    }
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); /* never closed: its threads outlive dlclose */
    if (library == nullptr) {
        const char *why = dlerror();
        fail(SAE_UNAVAILABLE, "expected option blas to be a library, got: " + std::string(why == nullptr ? path : why));
    }
    symbol<void (*)(int)>(library, path, "openblas_set_num_threads")(1);
    text = symbol<const char *(*)()>(library, path, "openblas_get_config")();
    sgemm = symbol<Sgemm>(library, path, "cblas_sgemm");
}

void Blas::multiply(const Gemm &t) const {
    const bool a_as_is = t.a_column == 1;
    const bool b_as_is = t.b_column == 1;
    /* The stride of a single line is not used, but BLAS still requires it to be large enough. */
    const int64_t lda = a_as_is ? std::max(t.a_row, t.k) : std::max(t.a_column, t.m);
    const int64_t ldb = b_as_is ? std::max(t.b_row, t.n) : std::max(t.b_column, t.k);
    sgemm(kRowMajor, a_as_is ? kAsIs : kTransposed, b_as_is ? kAsIs : kTransposed, static_cast<int>(t.m),
          static_cast<int>(t.n), static_cast<int>(t.k), 1.0f, t.a, static_cast<int>(lda), t.b, static_cast<int>(ldb),
          t.accumulate ? 1.0f : 0.0f, t.c, static_cast<int>(t.c_row));
}

} // namespace sae::cpu
