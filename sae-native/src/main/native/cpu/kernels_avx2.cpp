#define SAE_CPU_ISA avx2
#include "kernels.inl"
