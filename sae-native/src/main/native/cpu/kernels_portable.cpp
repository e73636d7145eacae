#define SAE_CPU_ISA portable
#include "kernels.inl"
