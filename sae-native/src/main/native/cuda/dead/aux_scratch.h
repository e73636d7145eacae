/*
 * aux_scratch.h: the scratch that the fused step's auxiliary loss needs, and how many dead latents it handles at a
 * time.
 *
 * The dense matrices of a part of n dead latents, B rows, d = d_in (aux_dense.cu, aux_bf16.cu): 8 n (B + d) bytes in
 * float32, 10 n (B + d) with precision=bf16, of which a part takes at most kDenseBytes. With precision=bf16 the
 * batch takes 6 B d bytes more. Before they are needed, the same memory holds the scores of the choice among the dead
 * (choose_dead.cu), as many rows of 4 d_sae bytes as fit, and kScoredRows at least.
 */
#ifndef SAE_CUDA_AUX_SCRATCH_H
#define SAE_CUDA_AUX_SCRATCH_H

#include <algorithm>

#include "../encode/shadow.h"
#include "../encode/topk.h"
#include "aux_bf16.h"

namespace sae::cuda {

#ifndef SAE_DENSE_BYTES // tests on the CPU make it small
#define SAE_DENSE_BYTES (640 << 20)
#endif
constexpr int64_t kDenseBytes = SAE_DENSE_BYTES; // GPT-2's 12,288 latents are one part
constexpr int64_t kLeastPart = 16;
constexpr int64_t kScoredRows = 128; // fewer rows would leave tiles of the matrix product empty

/* Dead latents whose dense matrices exist at a time; with bf16 in whole groups, which fill the tiles of a product. */
inline int64_t dead_part(int64_t rows, const Params &params) {
    if (params.context->precision == Precision::kBf16) {
        const int64_t padded = round_up(rows, kDepthStep);
        const int64_t bytes_each = 10 * (padded + params.d_in);
        const int64_t groups = std::max<int64_t>(kDenseBytes / bytes_each / kLatentGroup, 1);
        return std::min(groups * kLatentGroup, round_up(params.d_sae, kLatentGroup));
    }
    const int64_t bytes_each = 2 * (rows + params.d_in) * static_cast<int64_t>(sizeof(float));
    return std::min(params.d_sae, std::max(kDenseBytes / bytes_each, kLeastPart));
}

/* All null without an auxiliary loss (k = 0). */
struct AuxScratch {
    int64_t k;
    int *indices = nullptr;    // [B, k]
    float *values = nullptr;   // [B, k]
    float *gradient = nullptr; // [B, d]: first z_aux W_dec
    int64_t scored_rows = 0;   // whose scores exist at a time
    float *scores = nullptr;   // [scored_rows, d_sae]; the memory of everything below
    uint64_t *keys = nullptr;  // of the choice's top-k
    float *z = nullptr;        // [B, part], in float32
    float *dz = nullptr;       // [B, part]
    float *by_z = nullptr;     // [part, d]
    float *by_dz = nullptr;    // [part, d]
    float *bias = nullptr;     // [part]
    DeadBf16 dead{};           // with precision=bf16, except for the inputs it borrows

    AuxScratch(Carver &carver, const Params &params, int64_t rows, int64_t k_) : k(k_) {
        if (k == 0) {
            return;
        }
        const bool bf16 = params.context->precision == Precision::kBf16;
        const int64_t part = dead_part(rows, params);
        const int64_t d_in = params.d_in;
        indices = carver.take<int>(rows * k);
        values = carver.take<float>(rows * k);
        gradient = carver.take<float>(rows * d_in);
        const int64_t before = carver.used();
        scores = carver.take<float>(0);
        z = bf16 ? nullptr : carver.take<float>(rows * part);
        dz = carver.take<float>(rows * part);
        by_z = carver.take<float>(part * d_in);
        by_dz = carver.take<float>(part * d_in);
        bias = carver.take<float>(part);
        if (bf16) {
            take_part(carver, params, rows, part);
        }
        const int64_t row = params.d_sae * static_cast<int64_t>(sizeof(float));
        scored_rows = std::min(rows, std::max((carver.used() - before) / row, kScoredRows));
        carver.take<unsigned char>(std::max<int64_t>(before + scored_rows * row - carver.used(), 0));
        keys = carver.take<uint64_t>(topk_scratch(scored_rows, k));
        if (bf16) {
            take_batch(carver, params, rows);
        }
    }

  private:
    void take_part(Carver &carver, const Params &params, int64_t rows, int64_t part) {
        const int64_t padded = round_up(rows, kDepthStep);
        dead.rows = rows;
        dead.padded_rows = padded;
        dead.d_in = params.d_in;
        dead.d_sae = params.d_sae;
        dead.dz = dz;
        dead.z = carver.take<uint16_t>(rows * part);
        dead.z_transposed = carver.take<uint16_t>(part * padded);
        dead.dz_transposed = carver.take<uint16_t>(part * padded);
        dead.decoder_transposed = carver.take<uint16_t>(params.d_in * part);
    }

    void take_batch(Carver &carver, const Params &params, int64_t rows) {
        const int64_t padded = dead.padded_rows;
        dead.gradient = carver.take<uint16_t>(rows * round_up(params.d_in, kDepthStep));
        dead.gradient_transposed = carver.take<uint16_t>(params.d_in * padded);
        dead.input_transposed = carver.take<uint16_t>(params.d_in * padded);
    }
};

} // namespace sae::cuda
#endif
