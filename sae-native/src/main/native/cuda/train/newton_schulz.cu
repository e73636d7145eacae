/*
 * newton_schulz.cu: the products of Muon's update (sae_abi.h: SAE_MUON), which bring the singular values of X near 1.
 * X [S, L] is the matrix N, or its transpose, with S <= L:
 *
 *   X /= |N| + 1e-7;  five times  A = X X^T;  P = b A + c A A;  X = a X + P X        a, b, c = 3.4445, -4.7750, 2.0315
 *   W -= lr 0.2 sqrt(L) X                                                           the last product's epilogue
 *
 * in:  N float32 [rows, columns], which becomes scratch; |N|^2 double; StepSums, StepStatus. in and out: W float32
 * scratch: NewtonSchulzScratch
 * Nothing is transposed in memory: with X = N^T (the columns are the shorter side) A = N^T N, and the transpose of
 * a X + P X is a N + N P, as P is symmetric. N is scaled in the epilogues of the first two products that read it.
 *
 * Products are float32's: bf16x3 on the tensor cores (dead/split_product.cuh has the argument for its error), and float32
 * units with kernels=plain. A and P are symmetric: only tiles on and above the diagonal are computed. Where they are too few
 * for the device (GPT-2: 21 tiles), the inner dimension is divided among blocks; the parts depend on the shape alone. A
 * second launch adds the parts in order and writes both halves: in the product's epilogue that would not fit in registers.
 * FLOP: 5 (3 S^2 L + S^3), times 3 for bf16x3: d 768, m 12288: 0.11 TFLOP a matrix; d 4096, m 16384: 4.5. Bytes: 12 S L
 * and about 8 S^2 (1 + parts) an iteration, but every tile reads its factors: 1 / 16 byte a FLOP from L2.
 * Launches of a matrix: 25.
 * Launch: blocks of 256 threads that take tiles of 128 x 128 (plain: 64 x 64) in turn; 33 KiB shared memory (8.5).
 * Source: sparsify 1.3.3, muon.py (quintic_newtonschulz), after Jordan et al. 2024, "Muon"; there in bfloat16.
 * Deterministic: each result is one fixed sequence of sums. Not yet run on a GPU.
 */
#include "newton_schulz.h"

#include "../dead/plain_product.cuh"

namespace sae::cuda {
namespace {

#ifndef SAE_SPLIT_INNER // tests on the CPU make it small
#define SAE_SPLIT_INNER 512
#endif
constexpr int kLeastInner = SAE_SPLIT_INNER; // of a part of a product's inner dimension; a multiple of a slice's depth
static_assert(kLeastInner % SplitProduct::kDepth == 0 && kLeastInner % PlainProduct::kDepth == 0,
              "parts are whole slices");

constexpr int kIterations = 5;
constexpr float kLinear = 3.4445f, kCubic = -4.7750f, kQuintic = 2.0315f;

/* What X is to be multiplied with: squares is null once X has its norm. */
__device__ inline float scale_of(const double *squares) {
    return squares == nullptr ? 1.0f : static_cast<float>(1.0 / (sqrt(*squares) + 1e-7));
}

/* out [size, size] = linear base + factor x x^T, times scale^2; base may be null. */
struct SymmetricProduct {
    const float *x; // Across: [inner, stride], else [size, stride]
    int64_t stride;
    int size, inner;
    int parts, of_part; // the inner dimension in parts of so many
    const double *squares;
    const float *base;
    float linear, factor;
    float *out;
    float *partials; // [parts, size, size], of tiles on and above the diagonal
};

template <typename Product, bool Across>
__global__ void __launch_bounds__(kThreads, Product::kResident) symmetric_product_kernel(SymmetricProduct of) {
    __shared__ typename Product::Shared shared;
    const int side = static_cast<int>(tiles_of(of.size, Product::kTile));
    const int64_t tiles = static_cast<int64_t>(side) * (side + 1) / 2;
    for (int64_t at = blockIdx.x; at < tiles * of.parts; at += gridDim.x) {
        const auto part = static_cast<int>(at / tiles);
        int row = 0;
        int64_t column = at % tiles;
        while (column >= side - row) { // rows of tiles get shorter
            column -= side - row;
            row++;
        }
        column += row;
        const int first = part * of.of_part;
        const int inner = of.inner - first < of.of_part ? of.inner - first : of.of_part;
        const Factor<Across> x{of.x + (Across ? first * of.stride : first), of.stride};
        float *partial = of.partials + static_cast<int64_t>(part) * of.size * of.size;
        Product::tile(shared, row * Product::kTile, static_cast<int>(column) * Product::kTile, of.size, of.size, inner,
                      x, x, [&](int i, int j, float sum) { partial[static_cast<int64_t>(i) * of.size + j] = sum; });
    }
}

/* Both halves of the result from the parts' sums, in order. */
template <typename Product>
__global__ void __launch_bounds__(kThreads) combine_kernel(SymmetricProduct of) {
    const int64_t count = static_cast<int64_t>(of.size) * of.size;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (at >= count) {
        return;
    }
    const int64_t row = at / of.size;
    const int64_t column = at % of.size;
    const bool below = row / Product::kTile > column / Product::kTile;
    const int64_t from = below ? column * of.size + row : at;
    float sum = 0.0f;
    for (int part = 0; part < of.parts; part++) {
        sum += of.partials[part * count + from];
    }
    const float scale = scale_of(of.squares);
    const float product = of.factor * scale * scale * sum;
    of.out[at] = of.base == nullptr ? product : of.linear * of.base[at] + product;
}

/* y = a X + P X as it is stored; w -= the last one. */
struct Apply {
    const float *x; // [rows, columns] as stored
    int rows, columns;
    const float *polynomial; // [shorter, shorter]
    const double *squares;
    float *y;
    float *w;    // null: not the last one
    double step; // over lr
    const StepSums *sums;
    const StepStatus *status;
};

template <typename Product, bool Flat>
__global__ void __launch_bounds__(kThreads, Product::kResident) apply_kernel(Apply of) {
    __shared__ typename Product::Shared shared;
    if (of.w != nullptr && of.status->bad_row != kNoBadRow) {
        return;
    }
    const float scale = scale_of(of.squares);
    const int row_tiles = static_cast<int>(tiles_of(of.rows, Product::kTile));
    const int column_tiles = static_cast<int>(tiles_of(of.columns, Product::kTile));
    const int shorter = Flat ? of.rows : of.columns;
    const Factor<false> left = Flat ? Factor<false>{of.polynomial, shorter} : Factor<false>{of.x, of.columns};
    const Factor<Flat> right = Flat ? Factor<Flat>{of.x, of.columns} : Factor<Flat>{of.polynomial, shorter};
    for (int64_t tile = blockIdx.x; tile < static_cast<int64_t>(row_tiles) * column_tiles; tile += gridDim.x) {
        Product::tile(shared, static_cast<int>(tile / column_tiles) * Product::kTile,
                      static_cast<int>(tile % column_tiles) * Product::kTile, of.rows, of.columns, shorter, left, right,
                      [&](int i, int j, float sum) {
                          const int64_t at = static_cast<int64_t>(i) * of.columns + j;
                          const float y = scale * (kLinear * of.x[at] + sum);
                          if (of.w == nullptr) {
                              of.y[at] = y;
                          } else {
                              of.w[at] = static_cast<float>(of.w[at] - of.step * of.sums->lr * y);
                          }
                      });
    }
}

/* How many parts a symmetric product's inner dimension has. */
int parts_of(int64_t size, int64_t inner) {
    const int64_t side = tiles_of(size, SplitProduct::kTile);
    const int64_t wanted = SplitProduct::kBlocks / (side * (side + 1) / 2);
    return static_cast<int>(std::max<int64_t>(1, std::min(wanted, inner / kLeastInner)));
}

/* of.parts is set here. */
template <typename Product, bool Across>
cudaError_t launch_symmetric(SymmetricProduct of, cudaStream_t stream) {
    of.parts = parts_of(of.size, of.inner);
    of.of_part = static_cast<int>(round_up(divide_up(of.inner, of.parts), SplitProduct::kDepth));
    of.parts = static_cast<int>(divide_up(of.inner, of.of_part)); // none is empty
    const int64_t side = tiles_of(of.size, Product::kTile);
    const int64_t blocks = std::min(side * (side + 1) / 2 * of.parts, Product::kBlocks);
    const cudaError_t error = launch(symmetric_product_kernel<Product, Across>, blocks, stream, of);
    return error != cudaSuccess ? error
                                : launch(combine_kernel<Product>,
                                         divide_up(static_cast<int64_t>(of.size) * of.size, kThreads), stream, of);
}

template <typename Product, bool Flat>
cudaError_t newton_schulz(const NewtonSchulz &of, const NewtonSchulzScratch &scratch, cudaStream_t stream) {
    const MuonShape &shape = of.shape;
    const auto shorter = static_cast<int>(shape.shorter());
    const auto longer = static_cast<int>(shape.longer());
    float *x = of.matrix;
    float *y = scratch.moved;
    for (int i = 0; i < kIterations; i++) {
        const double *squares = i == 0 ? of.squares : nullptr;
        cudaError_t error = launch_symmetric<Product, !Flat>(
            {x, shape.columns, shorter, longer, 1, 0, squares, nullptr, 0.0f, 1.0f, scratch.gram, scratch.partials},
            stream);
        if (error == cudaSuccess) {
            error =
                launch_symmetric<Product, false>({scratch.gram, shorter, shorter, shorter, 1, 0, nullptr, scratch.gram,
                                                  kCubic, kQuintic, scratch.polynomial, scratch.partials},
                                                 stream);
        }
        if (error == cudaSuccess) {
            const bool last = i == kIterations - 1;
            const Apply apply{x,
                              static_cast<int>(shape.rows),
                              static_cast<int>(shape.columns),
                              scratch.polynomial,
                              squares,
                              y,
                              last ? of.w : nullptr,
                              0.2 * std::sqrt(static_cast<double>(longer)),
                              of.sums,
                              of.status};
            error = launch(apply_kernel<Product, Flat>, blocks_of<Product>(shape.rows, shape.columns), stream, apply);
        }
        if (error != cudaSuccess) {
            return error;
        }
        std::swap(x, y);
    }
    return cudaSuccess;
}

} // namespace

int64_t newton_schulz_partials(const MuonShape &shape) {
    const int64_t parts =
        std::max(parts_of(shape.shorter(), shape.longer()), parts_of(shape.shorter(), shape.shorter()));
    return parts * shape.shorter() * shape.shorter();
}

cudaError_t launch_newton_schulz(const Context &context, const NewtonSchulz &of, const NewtonSchulzScratch &scratch) {
    if (of.shape.flat()) {
        return is_plain(context) ? newton_schulz<PlainProduct, true>(of, scratch, context.stream)
                                 : newton_schulz<SplitProduct, true>(of, scratch, context.stream);
    }
    return is_plain(context) ? newton_schulz<PlainProduct, false>(of, scratch, context.stream)
                             : newton_schulz<SplitProduct, false>(of, scratch, context.stream);
}

} // namespace sae::cuda
