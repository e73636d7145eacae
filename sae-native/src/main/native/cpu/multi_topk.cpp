/*
 * multi_topk.cpp: the second loss of SAE_OPT_MULTI_TOPK, of what the K' = min(4 K, d_sae) largest latents decode to:
 *
 *   L += w s sum e'^2,  e' = sum of the K' largest z_j W_dec[j] + b_dec - y       (s: losses.cpp)
 *   dW_dec[j] += sum over the rows that chose it of z_j 2 w s e';  db_dec += sum 2 w s e'
 *
 * One encode chooses both: the K largest are the first of the K' largest. The encoder gets no gradient and x W_skip^T is not
 * added, as in sparsify 1.3.3 (sparse_coder.py; FusedEncoder.backward leaves out the gradient of the pre-activations).
 * FLOPs 4 rows K' d_out more, and a selection of K' in place of K. Deterministic: sums are taken in row order.
 */
#include <cmath>

#include "csc.h"
#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kFactor = 4;

} // namespace

void Trainer::choose_multi(int64_t rows, int64_t k) {
    Batch::Multi &multi = batch.multi;
    multi.k = std::min(kFactor * k, params.d_sae);
    for (Block<int32_t> *block : {&multi.index, &multi.row_of}) {
        block->grow(rows * multi.k);
    }
    for (Block<float> *block : {&multi.value, &multi.value_of}) {
        block->grow(rows * multi.k);
    }
    encode_topk(context, encoder_of(params), batch.input.data(), rows, multi.k, multi.index.data(), multi.value.data());
    for (int64_t row = 0; row < rows; row++) {
        std::copy_n(&multi.index[row * multi.k], k, &batch.index[row * k]);
        std::copy_n(&multi.value[row * multi.k], k, &batch.value[row * k]);
    }
}

int64_t Trainer::positive_of_multi(int64_t row) const {
    const float *values = &batch.multi.value[row * batch.multi.k];
    return std::find_if(values, values + batch.multi.k, [](float value) { return !(value > 0); }) - values;
}

void Trainer::decode_multi(int64_t row, Sums &sums) {
    const Batch::Multi &multi = batch.multi;
    const int64_t d = params.d_out;
    float *error = error_of(1, row);
    std::copy_n(params.b_dec(), d, error);
    context.kernels.gather(error, d, params.w_dec(), &multi.index[row * multi.k], &multi.value[row * multi.k],
                           positive_of_multi(row));
    sums.prefixes += options.multi_topk * context.kernels.subtract(error, batch.y + row * d, d);
}

void Trainer::backward_multi(int64_t row, double error_scale, Sums &sums) {
    const Batch::Multi &multi = batch.multi;
    const int64_t d = params.d_out;
    float *error = error_of(1, row);
    const float scale = static_cast<float>(error_scale * options.multi_topk);
    const double squares = context.kernels.combine(error, scale, nullptr, 1, d);
    context.kernels.axpy(sums.d_b_dec.data(), 1, error, d);
    const float *values = &multi.value[row * multi.k];
    sums.gradient_bound += std::sqrt(squares) * (std::sqrt(context.kernels.dot3(values, values, multi.k).gg) + 1);
}

void Trainer::group_multi() {
    Batch::Multi &multi = batch.multi;
    const auto entries = [&](int64_t row) {
        const int64_t first = row * multi.k;
        return std::pair(first, first + positive_of_multi(row));
    };
    group_by_column(batch.rows, params.d_sae, multi.index.data(), multi.start, entries,
                    [&](int64_t to, int64_t row, int64_t i) {
                        multi.row_of[to] = static_cast<int32_t>(row);
                        multi.value_of[to] = multi.value[i];
                    });
}

void Trainer::add_multi_gradient(int64_t latent, float *decoder) const {
    const Batch::Multi &multi = batch.multi;
    const int64_t from = multi.start[latent];
    context.kernels.gather(decoder, params.d_out, error_of(1, 0), &multi.row_of[from], &multi.value_of[from],
                           multi.start[latent + 1] - from);
}

} // namespace sae::cpu
