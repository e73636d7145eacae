/* blas.h: sgemm of an OpenBLAS that is opened at run time. */
#ifndef SAE_CPU_BLAS_H
#define SAE_CPU_BLAS_H

#include <string>

#include "kernels.h"

namespace sae::cpu {

class Blas {
  public:
    /* path "": none. SAE_UNAVAILABLE when the library cannot be opened or lacks what is needed. BLAS itself is set to
     * one thread: the context's own threads call it in parallel. */
    explicit Blas(const std::string &path);

    bool present() const { return sgemm != nullptr; }
    const std::string &description() const { return text; }
    /* One stride of a and one of b must be 1; see kernels.h for the rest. */
    void multiply(const Gemm &task) const;

  private:
    using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                           const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
    Sgemm sgemm = nullptr;
    std::string text;
};

} // namespace sae::cpu
#endif
