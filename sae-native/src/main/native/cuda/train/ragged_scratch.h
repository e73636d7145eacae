/* ragged_scratch.h: what a part of a ragged step (step_ragged.cu) keeps in the context's scratch, and its sizes. */
#ifndef SAE_CUDA_RAGGED_SCRATCH_H
#define SAE_CUDA_RAGGED_SCRATCH_H

#include <optional>

#include "../encode/batch_choice.h"
#include "../encode/selection.h"
#include "ragged_batch.h"
#include "update.h"

namespace sae::cuda {

/* Whether the sparsity term weights by decoder norms. */
inline bool has_norms(const Trainer &trainer) {
    const PenaltyOptions &penalty = trainer.penalty;
    return penalty.weight_by_norm && (penalty.sparsity == SAE_SPARSITY_L1 || penalty.sparsity == SAE_SPARSITY_TANH);
}

/* The dead latents that are chosen, and what else only the auxiliary loss needs. Each of its levels has B rows, one level's
 * after the other's. */
struct RaggedAux {
    float *residual;      // [levels, B, d_out], then dL/d(z_aux W_dec)
    Kept kept;            // [levels, B, aux_k]
    float *dz;            // [levels, B, aux_k]
    int *starts;          // [levels + 1] where each level's dead latents begin in the list
    IdleCounters counted; // counters if the batch ended with this part

    /* all_rows: of all levels */
    RaggedAux(Carver &carver, const Trainer &trainer, int64_t all_rows)
        : residual(carver.take<float>(all_rows * trainer.params.d_out)),
          kept(carver, all_rows, trainer.aux_k, trainer.params.d_sae), dz(carver.take<float>(all_rows * trainer.aux_k)),
          starts(carver.take<int>(trainer.aux_levels.count + 1)), counted{carver.take<int64_t>(trainer.params.d_sae),
                                                                          carver.take<int64_t>(trainer.params.d_sae)} {}
};

/* Of a gated SAE. */
struct GateScratch {
    float *gate;  // [room]
    float *dgate; // [room]
    float *dmag;  // [room]
    float *dr;    // [room]
    float *error; // [B, d_out] of what the gates decode to, then its gradient

    GateScratch(Carver &carver, const Trainer &trainer, int64_t rows, int64_t room)
        : gate(carver.take<float>(room)), dgate(carver.take<float>(room)), dmag(carver.take<float>(room)),
          dr(carver.take<float>(room)), error(carver.take<float>(rows * trainer.params.d_out)) {}
};

/* Bytes: 24 an entry, 4 more each for thresholds and for norms, 16 more gated; 4 B d_out a prefix, and a level of the
 * auxiliary loss, among others. */
struct RaggedScratch {
    int64_t room; // entries
    int *bad_row;
    StagedRows rows;
    float *centred;      // [B, d_in]
    Selection selection; // products of a chunk of rows; the choice among dead latents
    std::optional<BatchChoice> choice;
    int *kept;        // [B] entries of a row
    int64_t *starts;  // [B + 1]
    int *indices;     // [room]
    float *values;    // [room]
    uint32_t *row_of; // [room]
    float *dz;        // [room]
    uint32_t *order;  // [room]
    int64_t *offsets; // [m + 1]
    CscScratch csc;
    float *errors; // [prefixes, B, d_out], then gradients
    std::optional<RaggedAux> aux;
    std::optional<GateScratch> gates;
    float *dtheta;      // [room]; null without trained thresholds
    double *of_theta;   // [m]
    float *dnorm;       // [room]; null without norms
    float *norms;       // [m]
    double *of_norm;    // [m]
    float *rank;        // [m] |W_dec[j]|; null without SAE_OPT_RANK_BY_NORM
    double *active;     // [B]
    double *least;      // [B]
    double *terms;      // [B] of the sparsity term
    RaggedSums *ragged; // [1]
    SumsScratch shared;

    RaggedScratch(Carver &carver, const Trainer &t, const StepRows &of, int64_t room_)
        : RaggedScratch(carver, t, of, of.count, room_) {}

    RaggedScratch(Carver &carver, const Trainer &t, const StepRows &of, int64_t rows, int64_t room_)
        : room(room_), bad_row(carver.take<int>(1)), rows(carver, t.params, of),
          centred(carver.take<float>(t.params.subtract_b_dec ? rows * t.params.d_in : 0)),
          selection(carver, t.params, rows, t.params.d_sae, std::max<int64_t>(t.aux_k, 1)), // k = d_sae: without lists
          kept(carver.take<int>(rows)), starts(carver.take<int64_t>(rows + 1)), indices(carver.take<int>(room)),
          values(carver.take<float>(room)), row_of(carver.take<uint32_t>(room)), dz(carver.take<float>(room)),
          order(carver.take<uint32_t>(room)), offsets(carver.take<int64_t>(t.params.d_sae + 1)),
          csc(csc_arrays(carver, std::max(room, t.aux_levels.count * rows * t.aux_k),
                         carver.take<uint32_t>(csc_counters(t.params.d_sae)))),
          errors(carver.take<float>(t.prefixes.count * rows * t.params.d_out)),
          dtheta(t.trains(SAE_THRESHOLD) ? carver.take<float>(room) : nullptr),
          of_theta(t.trains(SAE_THRESHOLD) ? carver.take<double>(t.params.d_sae) : nullptr),
          dnorm(has_norms(t) ? carver.take<float>(room) : nullptr),
          norms(has_norms(t) ? carver.take<float>(t.params.d_sae) : nullptr),
          of_norm(has_norms(t) ? carver.take<double>(t.params.d_sae) : nullptr),
          rank(t.rank_by_norm ? carver.take<float>(t.params.d_sae) : nullptr), active(carver.take<double>(rows)),
          least(carver.take<double>(rows)), terms(carver.take<double>(rows)), ragged(carver.take<RaggedSums>(1)),
          shared(carver, t.params, rows) {
        if (t.rule == SAE_BATCH_TOPK) {
            choice.emplace(carver, t.params, rows, t.k);
        }
        if (t.aux_k > 0) {
            aux.emplace(carver, t, t.aux_levels.count * rows);
        }
        if (t.gated()) {
            gates.emplace(carver, t, rows, room);
        }
    }
};

} // namespace sae::cuda
#endif
