/* GCC 12 warns about the "undefined" operands of its own AVX-512 intrinsics (GCC bug 105593). */
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define SAE_CPU_ISA avx512
#include "kernels.inl"
