/*
 * split_product.cuh: a tile of c = a b in float32 precision on the tensor cores, each factor split into two bf16 terms.
 *
 *   x = x1 + x2 + r     x1 = bf16(x), x2 = bf16(x - x1): |x2| <= 2^-8 |x|, |r| <= 2^-16 |x| (x - x1 is exact)
 *   a b ~ a1 b1 + a1 b2 + a2 b1     products are exact in float32, sums are float32
 *
 * Error. Of one product a2 b2 and what r carries are left out, at most 3 2^-16 |a| |b|. These errors have no common
 * sign: in simulation, normal factors, d = 768 and 4096, those of a sum are 1.2 2^-18 sqrt(sum (a b)^2) in the mean,
 * while the d roundings of a float32 chain are 1.2 2^-26 sqrt(d) of it, 9 and 4 times less. In the worst case
 * they are 3 2^-16 sum |a b| against d 2^-24 sum |a b|: less than the chain's from d = 768 on.
 * Beyond that, the tensor cores add 3 d terms in steps of 16, which are aligned and truncated: three times the steps
 * that precision=bf16 has, at most 6.6 d 2^-24 sum |a b| together (rounding.cuh). If each step truncates what it keeps, a
 * sum is off by some 3 d / 32 2^-24 of its size: 4e-6 at 768, 2e-5 at 4096. The emulation, which rounds, does not show
 * this: there the tests' bounds (2e-5 of the largest moment; 1e-5 for dead latents alone) hold, and fail with one of
 * the three terms left out; on a GPU it is backend_check that says so. kernels=plain is the way out, by float32 units.
 * The choice among the dead may differ from float32's where two values are that close; the encoder's own choice does
 * not come here. Factors beyond 3.39e38 give NaN; a factor below 2^-118 has less than two whole terms.
 *
 * A block of 256 threads computes 128 x 128, its 8 warps 64 x 32 each: 64 accumulators a thread. The factors are
 * float32 in shared memory, [16, 128] of each in two buffers of 33 KiB together; cp.async brings the next slice while
 * this one is multiplied, one barrier a slice. Rows of 132 words: a warp's loads of fragments, two rows apart,
 * have no bank conflicts. Splitting in registers costs 3 instructions an element (half of two conversions, an
 * unpacking, a subtraction): 144 a warp and slice beside 48 mma.sync m16n8k16 (3 x 4 x 4). Warps and rows of 16 that
 * are outside the matrix are left out.
 * Bytes: 16 KiB read for 2^18 multiply-adds, 32 FLOP a byte (the 64 x 64 tiles of float32 units: 16). FLOP: 3 times
 * those of the product, on units that are nominally 15 times as fast as those for float32 (H100: 989 and 67 TF/s). No
 * operand exists in bf16 in memory, so neither scratch nor launches grow.
 * Deterministic: each result is a fixed sequence of mma.sync in the order of p.
 * Alternatives, to be decided by a measurement: operands in bf16, their terms one after the other along the depth
 * (a1 a1 a2 against b1 b2 b1), for the kernels of preact.h: wgmma on Hopper, but 6 bytes an element of scratch in place
 * of 4, and a packing of every operand, of W_enc's dead rows too. TF32x3 runs at half the rate; its terms are of 11
 * bits, which nothing here needs. Not measured on a GPU yet.
 */
#ifndef SAE_CUDA_SPLIT_PRODUCT_CUH
#define SAE_CUDA_SPLIT_PRODUCT_CUH

#include "../device/tensor_core.cuh"

namespace sae::cuda {
namespace {

/* Two bf16 pairs: x1 and x2 of two neighbours along the dimension that is summed over. */
struct SplitPair {
    unsigned first, second;

    __device__ inline SplitPair(float low, float high) : first(ptx::round_pair(low, high)) {
        second = ptx::round_pair(low - __uint_as_float(first << 16), high - __uint_as_float(first & 0xFFFF0000u));
    }
};

/* A factor of a product, [lines, p] if not Across, else [p, lines], in rows of `stride` elements. */
template <bool Across>
struct Factor {
    const float *values;
    int64_t stride;
    const int *names = nullptr; // which rows; null: all in order

    __device__ inline const float *address(int row, int column) const {
        return values + (names == nullptr ? row : names[row]) * stride + column;
    }
    __device__ inline float at(int line, int p) const { return Across ? *address(p, line) : *address(line, p); }
};

struct SplitProduct {
    static constexpr int kTile = 128;   // rows and columns
    static constexpr int kResident = 2; // blocks of a multiprocessor: 128 registers a thread
    static constexpr int64_t kBlocks = 132 * kResident;
    static constexpr int kDepth = 16; // of a slice
    static constexpr int kPadding = 4;
    static constexpr int kEach = kTile * kDepth / kThreads; // elements of a slice a thread loads
    static constexpr int kWarpRows = 64;
    static constexpr int kWarpColumns = 32;
    static_assert(kTile / kWarpRows * (kTile / kWarpColumns) * 32 == kThreads, "the warps cover the tile");

    struct Shared {
        float a[2][kDepth][kTile + kPadding];
        float b[2][kDepth][kTile + kPadding];
    };

    /* c [m, n] = a b^T over p < inner; store(i, j, sum) is a function. Called by the whole block. */
    template <bool AcrossA, bool AcrossB, typename Store>
    __device__ static inline void tile(Shared &shared, int first_row, int first_column, int m, int n, int inner,
                                       const Factor<AcrossA> &a, const Factor<AcrossB> &b, const Store &store) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int warp = static_cast<int>(threadIdx.x) / 32;
        const int warp_row = warp % (kTile / kWarpRows) * kWarpRows;
        const int warp_column = warp / (kTile / kWarpRows) * kWarpColumns;
        const auto load = [&](int buffer, int first) {
            load_slice(shared.a[buffer], a, first_row, m, first, inner);
            load_slice(shared.b[buffer], b, first_column, n, first, inner);
            ptx::commit_copies();
        };
        float sum[kWarpRows / 16][kWarpColumns / 8][4] = {};
        const int rows = m - first_row - warp_row;
        const bool busy = rows > 0 && first_column + warp_column < n; // the whole warp
        int buffer = 0;
        load(buffer, 0);
        for (int first = 0; first < inner; first += kDepth, buffer ^= 1) {
            ptx::wait_copies<0>();
            __syncthreads(); // the slice is there, and all are done with the one before
            if (first + kDepth < inner) {
                load(buffer ^ 1, first + kDepth);
            }
            if (busy) {
                multiply(shared.a[buffer], shared.b[buffer], warp_row, rows, warp_column, lane, sum);
            }
        }
        ptx::wait_copies<0>();
        __syncthreads(); // the next tile overwrites both
        SAE_UNROLL
        for (int i = 0; i < kWarpRows / 16; i++) {
            SAE_UNROLL
            for (int j = 0; j < kWarpColumns / 8; j++) {
                SAE_UNROLL
                for (int at = 0; at < 4; at++) {
                    const int row = first_row + warp_row + 16 * i + lane / 4 + at / 2 * 8;
                    const int column = first_column + warp_column + 8 * j + lane % 4 * 2 + at % 2;
                    if (row < m && column < n) {
                        store(row, column, sum[i][j][at]);
                    }
                }
            }
        }
    }

  private:
    using Slice = float[kDepth][kTile + kPadding];

    /* Where this thread's i-th element of a slice belongs. */
    template <bool Across>
    __device__ static inline int line(int i) {
        const int at = static_cast<int>(threadIdx.x) + i * kThreads;
        return Across ? at % kTile : at / kDepth;
    }
    template <bool Across>
    __device__ static inline int depth(int i) {
        const int at = static_cast<int>(threadIdx.x) + i * kThreads;
        return Across ? at / kTile : at % kDepth;
    }

    /* Starts copying lines [first_line, lines) and p in [first, inner): a thread steps along what is apart in
     * memory. */
    template <bool Across>
    __device__ static inline void load_slice(Slice &slice, const Factor<Across> &factor, int first_line, int lines,
                                             int first, int inner) {
        const int beside = Across ? first_line + line<Across>(0) : first + depth<Across>(0);
        const bool inside = beside < (Across ? lines : inner);
        const int end = Across ? inner : lines;
        SAE_UNROLL
        for (int i = 0; i < kEach; i++) {
            const int apart = Across ? first + depth<Across>(i) : first_line + line<Across>(i);
            const bool wanted = inside && apart < end;
            ptx::copy_4(&slice[depth<Across>(i)][line<Across>(i)],
                        wanted ? factor.address(apart, beside) : factor.values, wanted);
        }
    }

    __device__ static inline SplitPair pair(const Slice &slice, int p, int line) {
        return {slice[p][line], slice[p + 1][line]};
    }

    /* rows: of the matrix, from the warp's first on */
    __device__ static inline void multiply(const Slice &a, const Slice &b, int warp_row, int rows, int warp_column,
                                           int lane, float (&sum)[kWarpRows / 16][kWarpColumns / 8][4]) {
        constexpr int kColumns = kWarpColumns / 8;
        const int p = lane % 4 * 2;
        const int line = lane / 4;
        unsigned first_b[kColumns][2], second_b[kColumns][2];
        SAE_UNROLL
        for (int j = 0; j < kColumns; j++) {
            SAE_UNROLL
            for (int half = 0; half < 2; half++) {
                const SplitPair of = pair(b, p + 8 * half, warp_column + 8 * j + line);
                first_b[j][half] = of.first;
                second_b[j][half] = of.second;
            }
        }
        SAE_UNROLL
        for (int i = 0; i < kWarpRows / 16; i++) {
            if (16 * i >= rows) {
                break; // the whole warp
            }
            unsigned first_a[4], second_a[4];
            SAE_UNROLL
            for (int at = 0; at < 4; at++) { // rows 0-7, 8-15, then the same of the next 8 p
                const SplitPair of = pair(a, p + at / 2 * 8, warp_row + 16 * i + line + at % 2 * 8);
                first_a[at] = of.first;
                second_a[at] = of.second;
            }
            SAE_UNROLL
            for (int j = 0; j < kColumns; j++) { // the small terms first
                ptx::multiply_m16n8k16<Narrow::kBf16>(sum[i][j], second_a, first_b[j][0], first_b[j][1]);
                ptx::multiply_m16n8k16<Narrow::kBf16>(sum[i][j], first_a, second_b[j][0], second_b[j][1]);
                ptx::multiply_m16n8k16<Narrow::kBf16>(sum[i][j], first_a, first_b[j][0], first_b[j][1]);
            }
        }
    }
};

} // namespace
} // namespace sae::cuda
#endif
