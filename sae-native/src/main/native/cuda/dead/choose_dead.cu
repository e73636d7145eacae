/*
 * choose_dead.cu: the aux_k largest of each row among the dead latents.
 *
 *   scores [rows, d_sae] = x W^T + b of the dead latents, whose number n is on the device, in columns [0, n)
 *   indices int32, values float32 [rows, aux_k]: as topk.cuh orders and fills them
 *
 * The products are those of the precision: aux_dense.cu (bf16x3; float32 with kernels=plain), or with precision=bf16
 * the encoder's, on bf16 rows gathered by name.
 * Scores lie in the scratch of the dense products, which nobody needs yet, with room for d_sae columns a row since
 * the host does not know n; only n of them are touched. At 4,096 rows they all fit at once up to 40,000 latents, and a
 * choice is 2 launches: GPT-2, 1B, 3B, 8B; at wide 8, of 1,280 rows each. Before, rows were taken in chunks of 24 MiB
 * of scores or 128 rows: 16, 20, 26, 22 and 64 launches (GPT-2, 1B, 3B, 8B, wide).
 * Bytes: 4 rows n written and read, from L2 while that is below 50 MB (4,096 rows: 3,000 dead latents); 2 rows n d_in
 * FLOP.
 * Alternatives: smaller chunks stay in L2 with more dead latents, at two launches each. Not measured on a GPU yet.
 */
#include "choose_dead.h"

#include "../encode/preact.h"
#include "../encode/shadow_copies.h"
#include "../encode/topk.h"
#include "aux_dense.h"

namespace sae::cuda {
namespace {

cudaError_t score(const Params &params, const AuxScratch &aux, const DeadLatents &dead, int64_t first, int64_t rows,
                  const float *input, const RowsView &rounded) {
    const Context &context = *params.context;
    if (context.precision == Precision::kBf16) {
        const ShadowView shadow = shadow_view(params);
        const Operands operands{
            .x = rounded.rounded + first * shadow.depth,
            .rows = rows,
            .w = shadow.rounded,
            .bias = params.tensor(SAE_B_ENC),
            .d_sae = params.d_sae,
            .depth = shadow.depth,
            .names = dead.list,
            .n_active = dead.counts,
            .last = params.d_sae,
        };
        return launch_preactivations(context, operands, ScoreTarget{aux.scores, params.d_sae});
    }
    const LatentProduct product{
        .a = input + first * params.d_in,
        .rows = rows,
        .d_in = params.d_in,
        .w = params.tensor(SAE_W_ENC),
        .bias = params.tensor(SAE_B_ENC),
        .mask = nullptr,
        .latents = dead.list,
        .count = dead.counts,
        .most = params.d_sae,
        .out = aux.scores,
    };
    return launch_by_latent(context, product);
}

} // namespace

void choose_dead(const Params &params, const AuxScratch &aux, const DeadLatents &dead, int64_t rows, const float *input,
                 const RowsView &rounded) {
    for (int64_t first = 0; first < rows; first += aux.scored_rows) {
        const int64_t these = std::min(aux.scored_rows, rows - first);
        check(score(params, aux, dead, first, these, input, rounded), "scoring dead latents");
        check(launch_topk(aux.scores, these, params.d_sae, dead.counts, dead.list, aux.k, aux.keys,
                          aux.indices + first * aux.k, aux.values + first * aux.k, params.context->stream),
              "choosing among dead latents");
    }
}

} // namespace sae::cuda
