/*
 * aux_scratch.h: the scratch that the fused step's auxiliary loss needs, and how many dead latents it handles at a
 * time.
 *
 * The dense matrices of a part of n dead latents, B rows, d = d_in (aux_dense.cu, aux_bf16.cu): 8 n (B + d) bytes in
 * float32, n (10.125 B + 10 d) with precision=bf16, of which a part takes at most kDenseBytes. With precision=bf16 the
 * batch takes 6 B d bytes more.
 */
#ifndef SAE_CUDA_AUX_SCRATCH_H
#define SAE_CUDA_AUX_SCRATCH_H

#include <algorithm>

#include "../encode/shadow.h"
#include "aux_bf16.h"

namespace sae::cuda {

#ifndef SAE_DENSE_BYTES // tests on the CPU make it small
#define SAE_DENSE_BYTES (512 << 20)
#endif
constexpr int64_t kDenseBytes = SAE_DENSE_BYTES;
constexpr int64_t kLeastPart = 16;

/* Dead latents whose dense matrices exist at a time; with bf16 in whole groups, which fill the tiles of a product. */
inline int64_t dead_part(int64_t rows, const Params &params) {
    if (params.context->precision == Precision::kBf16) {
        const int64_t padded = round_up(rows, kDepthStep);
        const int64_t bytes_each = 10 * (padded + params.d_in) + padded / 8;
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
        z = bf16 ? nullptr : carver.take<float>(rows * part);
        dz = carver.take<float>(rows * part);
        by_z = carver.take<float>(part * d_in);
        by_dz = carver.take<float>(part * d_in);
        bias = carver.take<float>(part);
        if (bf16) {
            take_bf16(carver, params, rows, part);
        }
    }

  private:
    void take_bf16(Carver &carver, const Params &params, int64_t rows, int64_t part) {
        const int64_t padded = round_up(rows, kDepthStep);
        dead.rows = rows;
        dead.padded_rows = padded;
        dead.d_in = params.d_in;
        dead.d_sae = params.d_sae;
        dead.dz = dz;
        dead.z = carver.take<uint16_t>(rows * part);
        dead.z_transposed = carver.take<uint16_t>(part * padded);
        dead.dz_transposed = carver.take<uint16_t>(part * padded);
        dead.bias_parts = carver.take<double>(padded / kDepthStep * part);
        dead.decoder_transposed = carver.take<uint16_t>(params.d_in * part);
        dead.gradient = carver.take<uint16_t>(rows * round_up(params.d_in, kDepthStep));
        dead.gradient_transposed = carver.take<uint16_t>(params.d_in * padded);
        dead.input_transposed = carver.take<uint16_t>(params.d_in * padded);
    }
};

} // namespace sae::cuda
#endif
