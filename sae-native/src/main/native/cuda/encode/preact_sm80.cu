/*
 * preact_sm80.cu: what preact_plain.cu computes, on the tensor cores of compute capability 8.0 and newer.
 *
 * Shapes, inputs and outputs are the same. Launch: persistent, at most one block of 256 threads per SM; a block takes
 * tiles of 128 rows x 256 latents (row tiles fastest, so that blocks that run together share W and x stays in L2), its
 * 8 warps 64 x 64 of it each: 128 accumulators per thread. Ring of 4 stages of depth 32, filled by cp.async two stages
 * ahead; 96 KiB dynamic shared memory.
 * A row of a stage is 64 bytes, four 16-byte pieces; piece c of row r is at place c ^ (r / 2 % 4), so that the 8 rows
 * that one ldmatrix reads are in different banks.
 * Rows beyond the last repeat it; their results are dropped. With `names` the rows of W are gathered.
 * Bytes and FLOP are the same; a block reads 24 KiB for 2 Mi multiply-adds.
 * Deterministic: each result is a fixed sequence of mma.sync m16n8k16 in the order of p.
 * One block an SM (registers: docs/gpu.md), so nothing hides the epilogue: 1,600 instructions a warp for lists at GPT-2's
 * rate of hits (2,200 if every column has one; before 2,500), 3,200 cycles of two warps a scheduler, where a tile's
 * products take 32 d cycles on an A100 (1024 multiply-adds a cycle): 13 % at d = 768, 2.4 % at 4096. Two blocks would
 * need 128 registers, so tiles of 128 x 128 with 64 x 32 for a warp: its fragments are then 6 KiB for 64 Ki multiply-adds
 * in place of 8 for 128 Ki, 96 of the 128 bytes a cycle that shared memory gives (64 now), and L2 gives 32 bytes a cycle
 * in place of 24, of about 47. That would cost every product what it would save for short ones, so it stays. Not measured
 * yet.
 */
#include <algorithm>

#include "../device/tensor_core.cuh"
#include "epilogue.cuh"
#include "preact.h"
#include "shadow.h"

namespace sae::cuda {
namespace {

namespace sm80 {

constexpr int kRows = 128;    // of a tile
constexpr int kColumns = 256; // of a tile
constexpr int kDepth = 32;    // of a stage
constexpr int kStages = 4;
constexpr int kPiece = 8; // elements in 16 bytes
constexpr int kPieces = kDepth / kPiece;
constexpr int kStageElements = (kRows + kColumns) * kDepth;
constexpr int kSharedBytes = kStages * kStageElements * 2;
constexpr int kWarpRows = 64;
constexpr int kWarpColumns = 64;
constexpr int kRowFragments = kWarpRows / 16;
constexpr int kChunks = kWarpColumns / 8;
constexpr int kXPieces = kRows * kPieces / kThreads; // loads of a thread per stage
constexpr int kWPieces = kColumns * kPieces / kThreads;
static_assert(kRows / kWarpRows * (kColumns / kWarpColumns) * 32 == kThreads, "the warps cover the tile");
static_assert(kDepthStep % kDepth == 0, "no stage is partly filled");

/* Where piece `piece` of row `row` is, in elements. */
__device__ inline int place(int row, int piece) { return row * kDepth + (piece ^ (row / 2 % kPieces)) * kPiece; }

/* This thread's loads: pieces of fixed rows, further along the depth at each stage. */
struct Loader {
    const uint16_t *x[kXPieces];
    const uint16_t *w[kWPieces];

    __device__ void start(const Operands &operands, int64_t first_row, int64_t first_column, int64_t last) {
        SAE_UNROLL
        for (int i = 0; i < kXPieces; i++) {
            const int at = static_cast<int>(threadIdx.x) + i * kThreads;
            const int64_t row = first_row + at / kPieces;
            x[i] =
                operands.x + (row < operands.rows ? row : operands.rows - 1) * operands.depth + at % kPieces * kPiece;
        }
        SAE_UNROLL
        for (int i = 0; i < kWPieces; i++) {
            const int at = static_cast<int>(threadIdx.x) + i * kThreads;
            const int64_t column = first_column + at / kPieces;
            const int64_t inside = column < last ? column : last - 1;
            const int64_t latent = operands.names == nullptr ? inside : operands.names[inside];
            w[i] = operands.w + latent * operands.depth + at % kPieces * kPiece;
        }
    }

    __device__ void load(uint16_t *stage) {
        SAE_UNROLL
        for (int i = 0; i < kXPieces; i++) {
            const int at = static_cast<int>(threadIdx.x) + i * kThreads;
            ptx::copy_16(stage + place(at / kPieces, at % kPieces), x[i]);
            x[i] += kDepth;
        }
        SAE_UNROLL
        for (int i = 0; i < kWPieces; i++) {
            const int at = static_cast<int>(threadIdx.x) + i * kThreads;
            ptx::copy_16(stage + kRows * kDepth + place(at / kPieces, at % kPieces), w[i]);
            w[i] += kDepth;
        }
    }
};

/* One stage: 64 x 64 x 32 for this warp. */
template <Narrow kFormat>
__device__ inline void multiply_stage(const uint16_t *stage, int warp_row, int warp_column,
                                      float (&d)[kRowFragments][4 * kChunks]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    SAE_UNROLL
    for (int step = 0; step < kDepth / 16; step++) {
        unsigned a[kRowFragments][4];
        SAE_UNROLL
        for (int i = 0; i < kRowFragments; i++) { // rows 0-7, 8-15, then the same of the next 8 columns
            ptx::load_fragments(stage + place(warp_row + 16 * i + lane % 16, 2 * step + lane / 16), a[i]);
        }
        const uint16_t *w = stage + kRows * kDepth;
        SAE_UNROLL
        for (int j = 0; j < kChunks; j += 2) { // latents 0-7 and their next 8 columns, then latents 8-15
            unsigned b[4];
            ptx::load_fragments(w + place(warp_column + 8 * j + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2), b);
            SAE_UNROLL
            for (int i = 0; i < kRowFragments; i++) {
                ptx::multiply_m16n8k16<kFormat>(&d[i][4 * j], a[i], b[0], b[1]);
                ptx::multiply_m16n8k16<kFormat>(&d[i][4 * j + 4], a[i], b[2], b[3]);
            }
        }
    }
}

template <Narrow kFormat, typename Epilogue>
__global__ void __launch_bounds__(kThreads, 1) preact_kernel(Operands operands, Epilogue epilogue) {
    SAE_DYNAMIC_SHARED(shared);
    auto *stages = reinterpret_cast<uint16_t *>(shared);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int warp_row = warp % (kRows / kWarpRows) * kWarpRows;
    const int warp_column = warp / (kRows / kWarpRows) * kWarpColumns;
    const Columns columns{operands.bias, operands.names, operands.first, last_column(operands)};
    const int64_t row_tiles = (operands.rows + kRows - 1) / kRows;
    const int64_t column_tiles = (columns.last - columns.first + kColumns - 1) / kColumns;
    const int steps = static_cast<int>(last_depth(operands) / kDepth);
    for (int64_t tile = blockIdx.x; tile < row_tiles * column_tiles; tile += gridDim.x) {
        const int64_t first_row = tile % row_tiles * kRows;
        const int64_t first_column = columns.first + tile / row_tiles * kColumns;
        Loader loader;
        loader.start(operands, first_row, first_column, columns.last);
        for (int step = 0; step < kStages - 1; step++) { // one group each, empty or not, so that wait counts are right
            if (step < steps) {
                loader.load(stages + step * kStageElements);
            }
            ptx::commit_copies();
        }
        float d[kRowFragments][4 * kChunks] = {};
        for (int step = 0; step < steps; step++) {
            ptx::wait_copies<kStages - 2>();
            __syncthreads(); // this step's data is visible to all threads, and all are done with the previous step
            if (step + kStages - 1 < steps) {
                loader.load(stages + (step + kStages - 1) % kStages * kStageElements);
            }
            ptx::commit_copies();
            multiply_stage<kFormat>(stages + step % kStages * kStageElements, warp_row, warp_column, d);
        }
        ptx::wait_copies<0>();
        __syncthreads(); // the next tile fills the ring from its start
        SAE_UNROLL
        for (int i = 0; i < kRowFragments; i++) {
            epilogue.template fragment<kChunks>(columns, first_row + warp_row + 16 * i + lane / 4,
                                                first_column + warp_column + lane % 4 * 2, d[i]);
        }
    }
}

} // namespace sm80

template <Narrow kFormat, typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const auto kernel = sm80::preact_kernel<kFormat, Epilogue>;
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sm80::kSharedBytes);
    if (error != cudaSuccess) {
        return error;
    }
    const int64_t tiles =
        divide_up(operands.rows, sm80::kRows) * divide_up(operands.last - operands.first, sm80::kColumns);
    const int64_t blocks = std::min<int64_t>(tiles, context.properties.multiProcessorCount);
    return launch({blocks, kThreads, sm80::kSharedBytes, 1}, kernel, context.stream, operands, epilogue);
}

} // namespace

cudaError_t launch_sm80(const Context &context, const Operands &operands, const ScoreTarget &target) {
    if (operands.format == Narrow::kHalf) { // of a screen's first round
        return run<Narrow::kHalf>(context, operands, StoreScores<Store::kSet>{target, operands.rows});
    }
    return storing(target, operands.rows,
                   [&](const auto &epilogue) { return run<Narrow::kBf16>(context, operands, epilogue); });
}

cudaError_t launch_sm80(const Context &context, const Operands &operands, const ListTarget &target) {
    return operands.format == Narrow::kHalf
               ? run<Narrow::kHalf>(context, operands, ListCandidates<true>{target, operands.rows})
               : run<Narrow::kBf16>(context, operands, ListCandidates<false>{target, operands.rows});
}

} // namespace sae::cuda
