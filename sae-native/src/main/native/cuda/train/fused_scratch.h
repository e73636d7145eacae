/* fused_scratch.h: what a fused step (step_fused.cu) keeps in the context's scratch, and its sizes. */
#ifndef SAE_CUDA_FUSED_SCRATCH_H
#define SAE_CUDA_FUSED_SCRATCH_H

#include <algorithm>

#include "../dead/aux_scratch.h"
#include "../dead/dead.h"
#include "../decode/forward.h"
#include "../encode/selection.h"
#include "../encode/shadow_copies.h"
#include "adam.h"
#include "batch.h"
#include "csc.h"
#include "finish.h"
#include "lists.h"
#include "row_update.h"
#include "step_sums.h"
#include "trainer.h"

namespace sae::cuda {

struct FusedScratch {
    int64_t slices;
    int64_t group;
    int64_t groups;
    StagedRows rows;
    float *centred;             // [B, d]
    float *gradient;            // [B, d]
    uint16_t *rounded_gradient; // [B, depth], with precision=bf16
    Kept kept;
    Counters counters; // csc.cu's, then `arrived`
    CscScratch csc;
    Selection selection;
    AuxScratch aux;
    DeadLatents dead;
    int *in_block;
    StepSums *sums;
    double *batch_partials;
    float *dz_parts;   // [slices, B k]
    double *squares;   // [3, slices B]; before the step: squares of the weights
    double *collected; // [kCollected, kCollectBlocks]
    LatentLists lists;
    double *by_group; // [3, groups]
    float *through;   // [groups, d]
    double *partials; // of finish.cu

    StepSums *of_target; // [1], of a target other than x

    FusedScratch(Carver &carver, const Trainer &t, const StepRows &of) : FusedScratch(carver, t, of, of.count) {}

    FusedScratch(Carver &carver, const Trainer &t, const StepRows &of, int64_t rows)
        : slices(forward_slices(t.params.d_in, t.k, rounded_decoder_bytes(t.params) > 0)),
          group(row_update_group(t.params.d_sae)), groups(divide_up(t.params.d_sae, group)), rows(carver, t.params, of),
          centred(carver.take<float>(t.params.subtract_b_dec ? rows * t.params.d_in : 0)),
          gradient(carver.take<float>(rows * t.params.d_in)),
          rounded_gradient(rounded_decoder_bytes(t.params) > 0
                               ? carver.take<uint16_t>(rows * round_up(t.params.d_in, kDepthStep))
                               : nullptr),
          kept(carver, rows, t.k, t.params.d_sae), counters(counters_of(carver, t.params)),
          csc(csc_arrays(carver, rows * t.k, counters.at)), selection(carver, t.params, rows, t.k, t.k),
          aux(carver, t.params, rows, t.aux_k), dead(dead_arrays(carver, rows, t.params)),
          in_block(carver.take<int>(divide_up(t.params.d_sae, kThreads))), sums(carver.take<StepSums>(1)),
          batch_partials(carver.take<double>(batch_scratch(rows, t.params.d_in))),
          dz_parts(carver.take<float>(slices * rows * t.k)),
          squares(carver.take<double>(std::max(3 * slices * rows, 2 * kSquareBlocks))),
          collected(carver.take<double>(kCollected * kCollectBlocks)),
          lists(list_arrays(carver, rows * t.k, t.params.d_in)), by_group(carver.take<double>(3 * groups)),
          through(carver.take<float>(groups * t.params.d_in)),
          partials(carver.take<double>(finish_scratch(rows, t.params.d_in, groups))),
          of_target(carver.take<StepSums>(1)) {}

    /* Blocks that are done: of all (lists.cu, batch.cu, finish.cu), then of each 256 columns. */
    uint32_t *arrived(const Params &params) const { return counters.at + csc_counters(params.d_sae); }

  private:
    static Counters counters_of(Carver &carver, const Params &params) {
        const int64_t count = csc_counters(params.d_sae) + 1 + divide_up(params.d_in, kThreads);
        return {carver.take<uint32_t>(count), count};
    }

    static DeadLatents dead_arrays(Carver &carver, int64_t rows, const Params &params) {
        const int64_t part = dead_part(rows, params);
        const int64_t parts = divide_up(params.d_sae, part);
        int *list = carver.take<int>(params.d_sae);
        int *rank = carver.take<int>(params.d_sae);
        return {list, rank, carver.take<int>(1 + 2 * parts), part, parts};
    }

    static LatentLists list_arrays(Carver &carver, int64_t entries, int64_t d_in) {
        LatentLists lists;
        lists.rows = carver.take<uint32_t>(entries);
        lists.z = carver.take<float>(entries);
        lists.dz = carver.take<float>(entries);
        lists.by_z = carver.take<float>(entries / kStretch * d_in);
        lists.by_dz = carver.take<float>(entries / kStretch * d_in);
        lists.bias = carver.take<float>(entries / kStretch);
        return lists;
    }
};

} // namespace sae::cuda
#endif
