/*
 * tensor_core.cuh: the tensor core instructions and the copies that feed them, one function each. All inline PTX of the
 * backend is here. If the compiler is not nvcc (tests on the CPU), tensor_core_on_cpu.h defines the same functions, so
 * that the kernels run unchanged.
 *
 * Tiles in shared memory:
 *  - sm_80 kernels place 16-byte pieces themselves and read them with load_fragments.
 *  - sm_90 kernels use "128-byte swizzled, K-major" tiles, which the copy engine writes and wgmma reads: [rows, 64]
 *    of 16 bits, a row is 128 bytes, piece c of row r is at place c ^ (r % 8). A tile starts at a multiple of 1024 bytes.
 */
#ifndef SAE_CUDA_TENSOR_CORE_CUH
#define SAE_CUDA_TENSOR_CORE_CUH

#include <cuda.h>

#include "device.h"
#include "narrow_bits.h"

#ifdef __CUDACC__
/* The sm_90 kernels' instructions exist only on sm_90a; other targets of the same source get an empty body. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SAE_HAS_SM90 1
#else
#define SAE_HAS_SM90 0
#endif
#define SAE_UNROLL _Pragma("unroll")
/* Dynamic shared memory of the kernel, as bytes. */
#define SAE_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#else
#define SAE_HAS_SM90 1
#define SAE_UNROLL
#define SAE_DYNAMIC_SHARED(name) unsigned char *const name = cuda_on_cpu::dynamic_shared(cuda_on_cpu::cluster_rank())
#endif

namespace sae::cuda::ptx {

constexpr int kWgmmaColumns = 256;                     // N of the one wgmma shape in use, m64n256k16
constexpr int kWgmmaValues = 64 * kWgmmaColumns / 128; // results a thread of the warpgroup holds
constexpr int kTileBytes = 128;                        // of a row of a swizzled tile

} // namespace sae::cuda::ptx

#ifdef __CUDACC__

namespace sae::cuda::ptx {

__device__ inline unsigned shared_address(const void *address) {
    return static_cast<unsigned>(__cvta_generic_to_shared(address));
}

/* The compiler moves no memory access across this. */
__device__ inline void keep_order() { asm volatile("" ::: "memory"); }

/* The compiler knows nothing about the value from here on. */
__device__ inline void forget(uint32_t &value) { asm volatile("" : "+r"(value)); }

/* ---- sm_80 ---- */

/* Starts a copy of 16 bytes from global to shared memory; both are 16-byte aligned. */
__device__ inline void copy_16(void *shared, const void *global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

/* The same of 4 bytes; if not `wanted`, of zeros. */
__device__ inline void copy_4(void *shared, const void *global, bool wanted) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(wanted ? 4 : 0)
                 : "memory");
}

/* The same for 8 or 16 bytes that are read once: they are the first to leave L2. */
template <int bytes>
__device__ inline void copy_streamed(void *shared, const void *global) {
    uint64_t policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    if constexpr (bytes == 16) { // past L1
        asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                     "l"(global), "l"(policy)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global.L2::cache_hint [%0], [%1], 8, %2;" ::"r"(shared_address(shared)),
                     "l"(global), "l"(policy)
                     : "memory");
    }
}

/* Closes a group of this thread's copies. */
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/* Waits until at most `groups` of this thread's groups are in flight. */
template <int groups>
__device__ inline void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

/* Four 8 x 8 matrices of 16 bits: lane l gives the address of row l % 8 of matrix l / 8 and gets, of each matrix, the
 * elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4. */
__device__ inline void load_fragments(const void *row, unsigned (&matrices)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* d [16, 8] += a [16, 16] b [8, 16]^T. Of d, lane l holds columns 2 (l % 4) and + 1 of row l / 4 (d0, d1)
 * and of row l / 4 + 8 (d2, d3). */
#define SAE_MULTIPLY(type)                                                                                             \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 "                                        \
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                     \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
template <Narrow kFormat>
__device__ inline void multiply_m16n8k16(float *d, const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if constexpr (kFormat == Narrow::kBf16) {
        SAE_MULTIPLY("bf16");
    } else {
        SAE_MULTIPLY("f16");
    }
}
#undef SAE_MULTIPLY

/* Two floats as bf16, to nearest, ties to even; `low` in the lower half. NaN stays NaN; beyond 3.39e38: infinity. */
__device__ inline unsigned round_pair(float low, float high) {
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* ---- sm_90: barriers that count arrivals and bytes, clusters ---- */

#if SAE_HAS_SM90

__device__ inline void init_barrier(uint64_t *barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

/* Makes initialised barriers visible to the cluster and the copy engine; call before the cluster's first barrier. */
__device__ inline void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async;" ::: "memory");
}

/* One arrival, and `bytes` more to come before the phase ends. */
__device__ inline void arrive_and_expect(uint64_t *barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

/* One arrival at the barrier with the same address in block `rank` of the cluster.
 *
 * Neither this nor wait_barrier names a scope, so both order only this block's own accesses. That is enough: what crosses
 * blocks is data of the copy engine, which its bytes at the barrier make visible, and the reads of wgmma, which are over
 * when its group has been waited for. With .release.cluster and .acquire.cluster ptxas puts a fence of the whole GPU
 * (MEMBAR.ALL.GPU) and an invalidation of L1 (CCTL.IVALL) into every stage; inspect-sass.sh --check counts them. */
__device__ inline void arrive_at(uint64_t *barrier, unsigned rank) {
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

/* Waits for the phase with this parity to end; the phase before the first one has parity 1. */
__device__ inline void wait_barrier(uint64_t *barrier, unsigned parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra passed;\n"
                 "bra again;\n"
                 "passed:\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

__device__ inline unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* Called by every thread of the cluster. */
__device__ inline void synchronize_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* Called by every thread of the warpgroup: `registers` per thread from now on. */
template <int registers>
__device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ inline void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

/* ---- sm_90: tiles in, products out ---- */

__device__ inline void prefetch_map(const CUtensorMap *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Copies the map's box at (column, row) into a swizzled tile of this block, and counts its bytes at the barrier.
 * Elements outside the matrix are 0. */
__device__ inline void load_tile(void *shared, const CUtensorMap *map, int column, int row, uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
                 "[%4];" ::"r"(shared_address(shared)),
                 "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
                 : "memory");
}

/* The same into every block in the bit mask `blocks`, with tile and barrier at the same address. */
__device__ inline void load_tile_to(uint16_t blocks, void *shared, const CUtensorMap *map, int column, int row,
                                    uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
                 "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
                 : "memory");
}

/* Descriptor of a swizzled tile; + kDescriptorStep moves it by 16 columns. Bits: address / 16; distance of 8 rows / 16
 * from bit 32; swizzle of 128 bytes at bit 62. (The leading distance, from bit 16, is unused in this layout.) */
constexpr uint64_t kDescriptorStep = 2;
__device__ inline uint64_t tile_descriptor(const void *tile) {
    constexpr uint64_t kRows8 = 8 * kTileBytes / 16;
    return static_cast<uint64_t>((shared_address(tile) & 0x3FFFF) >> 4) | uint64_t{1} << 16 | kRows8 << 32 |
           uint64_t{1} << 62;
}

/* Call before the first product whose registers other instructions have written. */
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/* Waits until at most `groups` of the warpgroup's groups are in flight. */
template <int groups>
__device__ inline void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
}

/* d [64, 256] = a [64, 16] b [256, 16]^T, + d if `add`, by the whole warpgroup. Of d, thread t holds for each 8 columns
 * from c: columns c + 2 (t % 4) and + 1 of row 16 (t / 32) + t % 32 / 4 (two values), and of the row 8 below (two values).
 * The registers may not be touched before wait_products. */
// clang-format off
#define SAE_REGISTERS_8(first) "+f"(d[first]), "+f"(d[first + 1]), "+f"(d[first + 2]), "+f"(d[first + 3]), \
    "+f"(d[first + 4]), "+f"(d[first + 5]), "+f"(d[first + 6]), "+f"(d[first + 7])
#define SAE_REGISTERS_32(first) SAE_REGISTERS_8(first), SAE_REGISTERS_8(first + 8), SAE_REGISTERS_8(first + 16), \
    SAE_REGISTERS_8(first + 24)
#define SAE_MULTIPLY(type) asm volatile("{\n" \
        ".reg .pred add;\n" \
        "setp.ne.b32 add, %130, 0;\n" \
        "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type " {" \
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, " \
        "%128, %129, add, 1, 1, 0, 0;\n" \
        "}\n" \
        : SAE_REGISTERS_32(0), SAE_REGISTERS_32(32), SAE_REGISTERS_32(64), SAE_REGISTERS_32(96) \
        : "l"(a), "l"(b), "r"(static_cast<int>(add)))
template <Narrow kFormat>
__device__ inline void multiply_m64n256k16(float (&d)[kWgmmaValues], uint64_t a, uint64_t b, bool add) {
    if constexpr (kFormat == Narrow::kBf16) {
        SAE_MULTIPLY("bf16");
    } else {
        SAE_MULTIPLY("f16");
    }
}
#undef SAE_MULTIPLY

/* Call after wait_products: the results may be used from here on, and no use is moved above it. */
__device__ inline void take_results(float (&d)[kWgmmaValues]) {
    asm volatile("" : SAE_REGISTERS_32(0), SAE_REGISTERS_32(32), SAE_REGISTERS_32(64), SAE_REGISTERS_32(96)::"memory");
}
#undef SAE_REGISTERS_32
#undef SAE_REGISTERS_8
// clang-format on

#endif

} // namespace sae::cuda::ptx

#else
#include "tensor_core_on_cpu.h"
#endif
#endif
