/*
 * preact_sm90.cu: what preact_plain.cu computes, on Hopper (compute capability 9.0).
 *
 * Shapes, inputs and outputs are the same, without `names`. Launch: persistent, clusters of 2 blocks of 384 threads,
 * one block per SM. A cluster takes 256 rows x 256 latents (row tiles fastest): each block its 128 rows, the latents
 * shared.
 *
 *   warpgroup 0   one thread fills a ring of 4 stages of depth 64: the block's rows of x (16 KiB) and half of the
 *                 cluster's latents (16 KiB), which the copy engine (TMA) delivers to both blocks
 *   warpgroups 1, 2   64 rows each: four wgmma m64n256k16 per stage, 128 accumulators per thread; then the epilogue,
 *                 while the ring fills for the next tile. The second stays two stages behind the first, so that each
 *                 has the tensor cores for itself while the other has its epilogue
 *
 * A stage is full when 48 KiB have arrived, and free when the 8 warps of both blocks have read it: one block's copy
 * lands in the other too. Registers: 40 per thread for the loader, 232 for the others. 192 KiB + 72 B dynamic shared
 * memory.
 * Bytes and FLOP are the same; a block reads 32 KiB from L2 for 2 Mi multiply-adds. Elements outside the matrices read
 * as 0.
 * Deterministic: each result is a fixed sequence of wgmma in the order of p.
 * What the compiler makes of it is in docs/gpu.md; inspect-sass.sh --check insists on no spills, no serialised wgmma and
 * neither a MEMBAR nor a CCTL in a loop (tensor_core.cuh).
 *
 * The epilogue by count, for lists. A scheduler issues one instruction a cycle and has a warp of each warpgroup; a tile's
 * products take 16 d cycles, 12,288 at d = 768 and 65,536 at 4096.
 *   instructions of a warp          before                    now
 *   compare 128 results             650                       431: 128 FFMA, 128 FSETP, 128 predicated ORs, 32 LDG.64
 *   list hits                       2 x 720, in every warp    2 for a column of the lane's 64 without a hit in the warp,
 *                                   with a hit in that half   19 for one with: 600 to 1,250
 *   with bars and places, GPT-2     2,240                     1,170, at 36 hits in a warp's 16 rows of a tile
 *   both warpgroups at a time       4,480 cycles, 36 %
 *   one behind the other                                      1,170 cycles, in which the other multiplies two stages
 * Accumulators that start at the bias would not pay: the first product would have to add (it overwrites now), so 128
 * instructions would set them and 32 loads would have to be waited for before a tile's first product, and the FFMA that
 * scales and adds would become an FMUL or a scaled bar. A tile for each warpgroup, in turn, would hide all of the epilogue
 * without the order above, but would read 24 KiB from L2 for 1 Mi multiply-adds, 48 bytes a cycle and multiprocessor
 * against 32 now; L2 gives about 24 (5.5 TB/s). Not measured yet.
 */
#include <algorithm>

#include "../device/tensor_core.cuh"
#include "epilogue.cuh"
#include "preact.h"
#include "shadow.h"

namespace sae::cuda {
namespace {

namespace sm90 {

constexpr int kGroupThreads = 128; // of a warpgroup
constexpr int kConsumers = 2;      // warpgroups
constexpr int kBlockThreads = kGroupThreads * (1 + kConsumers);
constexpr int kCluster = 2;
constexpr int kRows = 64 * kConsumers;       // of a block
constexpr int kColumns = ptx::kWgmmaColumns; // of a cluster
constexpr int kDepth = 64;
constexpr int kStages = 4;
constexpr int kXBytes = kRows * kDepth * 2;
constexpr int kWBytes = kColumns * kDepth * 2;
constexpr int kStageBytes = kXBytes + kWBytes;
constexpr int kSharedBytes = kStages * kStageBytes + (2 * kStages + 1) * static_cast<int>(sizeof(uint64_t));
static_assert(kDepth == kDepthStep && kDepth * 2 == ptx::kTileBytes, "a row of a stage is a row of a swizzled tile");
static_assert(kColumns == kLatentGroup, "a tile's latents share their bound");

#if SAE_HAS_SM90

constexpr int kChunks = kColumns / 8;
constexpr int kLoaderRegisters = 40;
constexpr int kConsumerRegisters = 232;
constexpr unsigned kReaders = kCluster * kConsumers * kGroupThreads / 32; // warps that free a stage
constexpr int kAhead = 2; // stages of a tile that warpgroup 1 multiplies before warpgroup 2 starts

/* Stage and phase of a ring. */
struct PipelineState {
    int stage = 0;
    unsigned parity = 0;

    __device__ void advance() {
        stage++;
        if (stage == kStages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

struct Ring {
    unsigned char *stages;
    uint64_t *full;
    uint64_t *empty;
    uint64_t *ahead;

    __device__ explicit Ring(unsigned char *shared)
        : stages(shared), full(reinterpret_cast<uint64_t *>(shared + kStages * kStageBytes)), empty(full + kStages),
          ahead(empty + kStages) {}
    __device__ unsigned char *x(int stage) const { return stages + stage * kStageBytes; }
    __device__ unsigned char *w(int stage) const { return x(stage) + kXBytes; }
};

struct Tiles { // of clusters
    int64_t row_tiles;
    int64_t count;

    __device__ explicit Tiles(const Operands &operands, int64_t last)
        : row_tiles((operands.rows + kCluster * kRows - 1) / (kCluster * kRows)),
          count(row_tiles * ((last - operands.first + kColumns - 1) / kColumns)) {}
    __device__ int64_t row(int64_t tile, unsigned rank) const { return (tile % row_tiles * kCluster + rank) * kRows; }
    __device__ int64_t column(int64_t tile) const { return tile / row_tiles * kColumns; }
};

__device__ inline void load_tiles(const Operands &operands, const CUtensorMap &x_map, const CUtensorMap &w_map,
                                  const Tiles &tiles, const Ring &ring, unsigned rank) {
    constexpr uint16_t kBoth = (1 << kCluster) - 1;
    constexpr int kShare = kColumns / kCluster; // latents this block fetches for the cluster
    const int steps = static_cast<int>(last_depth(operands) / kDepth);
    PipelineState pipe;
    for (int64_t tile = blockIdx.x / kCluster; tile < tiles.count; tile += gridDim.x / kCluster) {
        const int row = static_cast<int>(tiles.row(tile, rank));
        const int column = static_cast<int>(operands.first + tiles.column(tile));
        for (int step = 0; step < steps; step++, pipe.advance()) {
            ptx::wait_barrier(&ring.empty[pipe.stage], pipe.parity ^ 1);
            ptx::arrive_and_expect(&ring.full[pipe.stage], kStageBytes);
            ptx::load_tile(ring.x(pipe.stage), &x_map, step * kDepth, row, &ring.full[pipe.stage]);
            ptx::load_tile_to(kBoth, ring.w(pipe.stage) + rank * (kWBytes / kCluster), &w_map, step * kDepth,
                              column + static_cast<int>(rank) * kShare, &ring.full[pipe.stage]);
        }
    }
}

/* One lane of each warp tells both blocks that the warp has read the stage. */
__device__ inline void free_stage(const Ring &ring, int stage) {
    const unsigned lane = threadIdx.x % 32;
    if (lane < kCluster) {
        ptx::arrive_at(&ring.empty[stage], lane);
    }
}

/* Keeps the second warpgroup kAhead stages behind the first, so that one multiplies while the other has its epilogue. A
 * tile of fewer stages than the ring could let the first get two phases ahead of `ahead`, so it has no order. */
class Order {
  public:
    __device__ Order(const Ring &ring, int group, unsigned rank, int steps)
        : ring_(ring), rank_(rank), leads_(steps >= kStages && group == 0), follows_(steps >= kStages && group == 1) {}

    __device__ void start_tile() {
        if (follows_) {
            ptx::wait_barrier(ring_.ahead, parity_);
            parity_ ^= 1;
        }
    }
    /* The first `step` stages are done. */
    __device__ void did(int step) const {
        if (leads_ && step == kAhead && threadIdx.x % 32 == 0) {
            ptx::arrive_at(ring_.ahead, rank_);
        }
    }

  private:
    const Ring &ring_;
    unsigned rank_;
    bool leads_;
    bool follows_;
    unsigned parity_ = 0;
};

template <Narrow kFormat, typename Epilogue>
__device__ void multiply_tiles(const Operands &operands, const Columns &columns, const Tiles &tiles, const Ring &ring,
                               unsigned rank, const Epilogue &epilogue) {
    const int group = static_cast<int>(threadIdx.x) / kGroupThreads - 1;
    const int warp = static_cast<int>(threadIdx.x) % kGroupThreads / 32;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int steps = static_cast<int>(last_depth(operands) / kDepth);
    PipelineState pipe;
    Order order(ring, group, rank, steps);
    for (int64_t tile = blockIdx.x / kCluster; tile < tiles.count; tile += gridDim.x / kCluster) {
        float d[ptx::kWgmmaValues];
        order.start_tile();
        int before = 0; // the stage that the previous products read
        for (int step = 0; step < steps; step++, pipe.advance()) {
            ptx::wait_barrier(&ring.full[pipe.stage], pipe.parity);
            const uint64_t x = ptx::tile_descriptor(ring.x(pipe.stage) + group * (kXBytes / kConsumers));
            const uint64_t w = ptx::tile_descriptor(ring.w(pipe.stage));
            ptx::begin_products();
            SAE_UNROLL
            for (int part = 0; part < kDepth / 16; part++) {
                ptx::multiply_m64n256k16<kFormat>(d, x + part * ptx::kDescriptorStep, w + part * ptx::kDescriptorStep,
                                                  step > 0 || part > 0);
            }
            ptx::commit_products();
            if (step > 0) {
                ptx::wait_products<1>();
                free_stage(ring, before);
                order.did(step);
            }
            before = pipe.stage;
        }
        ptx::wait_products<0>();
        ptx::take_results(d);
        free_stage(ring, before);
        epilogue.template fragment<kChunks>(columns,
                                            tiles.row(tile, rank) + group * 64 + warp * kFragmentRows + lane / 4,
                                            columns.first + tiles.column(tile) + lane % 4 * 2, d);
    }
}

#endif

template <Narrow kFormat, typename Epilogue>
__global__ void __launch_bounds__(kBlockThreads, 1)
    preact_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap w_map,
                  Operands operands, Epilogue epilogue) {
#if SAE_HAS_SM90
    SAE_DYNAMIC_SHARED(shared);
    const Ring ring(shared);
    const unsigned rank = ptx::cluster_rank();
    const Columns columns{operands.bias, nullptr, operands.first, last_column(operands)};
    const Tiles tiles(operands, columns.last);
    if (tiles.count == 0) {
        return; // the same for every block: no dead latents, for example
    }
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < kStages; stage++) {
            ptx::init_barrier(&ring.full[stage], 1);
            ptx::init_barrier(&ring.empty[stage], kReaders);
        }
        ptx::init_barrier(ring.ahead, kGroupThreads / 32);
        ptx::publish_barriers();
        ptx::prefetch_map(&x_map);
        ptx::prefetch_map(&w_map);
    }
    __syncwarp();
    ptx::synchronize_cluster();
    if (threadIdx.x < kGroupThreads) {
        ptx::give_registers<kLoaderRegisters>();
        if (threadIdx.x == 0) {
            load_tiles(operands, x_map, w_map, tiles, ring, rank);
        }
    } else {
        ptx::take_registers<kConsumerRegisters>();
        multiply_tiles<kFormat>(operands, columns, tiles, ring, rank, epilogue);
    }
    __syncwarp();
    ptx::synchronize_cluster(); // the other block's copies and arrivals may still target this block
#endif
}

} // namespace sm90

/* A tensor map of a matrix in 16 bits [rows, depth] in boxes of [box_rows, 64], into swizzled tiles. */
cudaError_t make_map(const Context &context, const uint16_t *matrix, int64_t rows, int64_t depth, int box_rows,
                     CUtensorMap *map) {
    const cuuint64_t dimensions[2] = {static_cast<cuuint64_t>(depth), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[1] = {static_cast<cuuint64_t>(depth) * sizeof(uint16_t)};
    const cuuint32_t box[2] = {sm90::kDepth, static_cast<cuuint32_t>(box_rows)};
    const cuuint32_t each[2] = {1, 1};
    const CUresult result = context.encode_map(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 /* nothing is computed */, 2,
                                               const_cast<uint16_t *>(matrix), dimensions, strides, box, each,
                                               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <Narrow kFormat, typename Epilogue>
cudaError_t run(const Context &context, const Operands &operands, const Epilogue &epilogue) {
    const auto kernel = sm90::preact_kernel<kFormat, Epilogue>;
    CUtensorMap x_map;
    CUtensorMap w_map;
    cudaError_t error = make_map(context, operands.x, operands.rows, operands.depth, sm90::kRows, &x_map);
    if (error == cudaSuccess) {
        error = make_map(context, operands.w, operands.d_sae, operands.depth, sm90::kColumns / sm90::kCluster, &w_map);
    }
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sm90::kSharedBytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const int64_t tiles = divide_up(operands.rows, sm90::kCluster * sm90::kRows) *
                          divide_up(operands.last - operands.first, sm90::kColumns);
    const int64_t clusters =
        std::min<int64_t>(tiles, std::max(context.properties.multiProcessorCount / sm90::kCluster, 1));
    return launch({clusters * sm90::kCluster, sm90::kBlockThreads, sm90::kSharedBytes, sm90::kCluster}, kernel,
                  context.stream, x_map, w_map, operands, epilogue);
}

} // namespace

cudaError_t launch_sm90(const Context &context, const Operands &operands, const ScoreTarget &target) {
    if (operands.format == Narrow::kHalf) { // of a screen's first round
        return run<Narrow::kHalf>(context, operands, StoreScores<Store::kSet>{target, operands.rows});
    }
    return storing(target, operands.rows,
                   [&](const auto &epilogue) { return run<Narrow::kBf16>(context, operands, epilogue); });
}

cudaError_t launch_sm90(const Context &context, const Operands &operands, const ListTarget &target) {
    return operands.format == Narrow::kHalf
               ? run<Narrow::kHalf>(context, operands, ListCandidates<true>{target, operands.rows})
               : run<Narrow::kBf16>(context, operands, ListCandidates<false>{target, operands.rows});
}

/* With `names` the rows of W are gathered, which Hopper's copy engine cannot do: sm_80's kernel does it. */
template <typename Target>
cudaError_t dispatch(const Context &context, const Operands &operands, const Target &target) {
    if (operands.rows == 0 || operands.first >= operands.last) {
        return cudaSuccess;
    }
    if (context.kernels == Kernels::kPlain) {
        return launch_plain(context, operands, target);
    }
    return context.kernels == Kernels::kSm80 || operands.names != nullptr ? launch_sm80(context, operands, target)
                                                                          : launch_sm90(context, operands, target);
}

cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ScoreTarget &target) {
    return dispatch(context, operands, target);
}

cudaError_t launch_preactivations(const Context &context, const Operands &operands, const ListTarget &target) {
    return dispatch(context, operands, target);
}

} // namespace sae::cuda
