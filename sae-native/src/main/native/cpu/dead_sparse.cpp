/*
 * dead_sparse.cpp: dead.cpp's products where the min(AUX_K, n_dead) latents that a row keeps are few among the dead: they
 * are listed, and only their rows are touched.
 *
 *   FLOPs 2 rows n_dead d_in for the choice, 8 rows AUX_K d for the rest, where dense products take 8 rows n_dead d.
 *   Bytes: rows AUX_K rows of d floats are read four times. They come from L2: entries are taken in blocks of latents (or of
 *   rows of the batch) that fit in it, for all rows (or latents) of a part before the next block.
 *
 * A whole step on a busy AVX2 machine (AMD EPYC), 2 threads, CPU time of both halved, best of 7, AUX_K = d / 2:
 *
 *   (rows, d, d_sae, k)     n_dead   dense products   lists
 *   1024, 768, 12288, 16       800           214 ms   221 ms
 *                             1600           262 ms   240 ms
 *                             4700           488 ms   299 ms
 *                             9000           768 ms   389 ms
 *   2048, 288, 4608, 32        600            93 ms    94 ms
 *                             2400           207 ms   116 ms
 *
 * Deterministic: a row's terms are added in the order of latents, a latent's in the order of rows.
 */
#include <cmath>
#include <cstring>
#include <numeric>

#include "csc.h"
#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kBlockFloats = 1 << 16; /* half of a small L2 */
constexpr int64_t kLatents = 64;          /* of a part of the backward pass */
constexpr int64_t kDensePerSparse = 3;    /* how many times faster a dense product goes through its entries */

int64_t block_rows(int64_t d) { return std::max<int64_t>(8, kBlockFloats / d); }

} // namespace

bool Trainer::few_of_dead() const {
    return !options.aux_keeps_signs() && batch.levels.size() == 1 && /* encode_topk takes values above 0 */
           static_cast<int64_t>(batch.dead.size()) > kDensePerSparse * options.aux_k;
}

void Trainer::choose_dead() {
    Batch::Aux &aux = batch.chosen_dead;
    const int64_t k = options.aux_k;
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    const int64_t entries = batch.rows * k;
    for (Block<int32_t> *block : {&aux.slot, &aux.row_of}) {
        block->grow(entries);
    }
    for (Block<float> *block : {&aux.value, &aux.dz, &aux.value_of, &aux.dz_of}) {
        block->grow(entries);
    }
    aux.count.resize(batch.rows);
    Encoder encoder = {batch.dead_enc.data(), batch.dead_bias.data(), params.d_in, dead, &aux.shadow};
    aux.shadow.current = false;
    if (!batch.rank.empty()) {
        aux.rank.resize(dead);
        std::transform(batch.dead.begin(), batch.dead.end(), aux.rank.begin(),
                       [&](int32_t latent) { return batch.rank[latent]; });
        encoder.rank = aux.rank.data();
    }
    encode_topk(context, encoder, batch.input.data(), batch.rows, k, aux.slot.data(), aux.value.data());
    constexpr int64_t kRows = 32;
    for_ranges(context, batch.rows, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        std::vector<uint64_t> by_slot(k);
        for (int64_t row = first; row < last; row++) {
            int32_t *slots = &aux.slot[row * k];
            float *values = &aux.value[row * k];
            const int64_t count = std::find_if(values, values + k, [](float value) { return !(value > 0); }) - values;
            for (int64_t i = 0; i < count; i++) {
                uint32_t bits;
                std::memcpy(&bits, &values[i], sizeof bits);
                by_slot[i] = static_cast<uint64_t>(slots[i]) << 32 | bits;
            }
            std::sort(by_slot.begin(), by_slot.begin() + count);
            for (int64_t i = 0; i < count; i++) {
                const uint32_t bits = static_cast<uint32_t>(by_slot[i]);
                slots[i] = static_cast<int32_t>(by_slot[i] >> 32);
                std::memcpy(&values[i], &bits, sizeof bits);
                values[i] /= encoder.rank == nullptr ? 1 : encoder.rank[slots[i]];
            }
            aux.count[row] = count;
        }
    });
}

/* body(row, first entry, entries) for every row's entries, a block of latents at a time. */
template <typename Body>
void Trainer::for_dead_blocks(int64_t first, int64_t last, Body &&body) const {
    const Batch::Aux &aux = batch.chosen_dead;
    const int64_t k = options.aux_k;
    const int64_t dead = static_cast<int64_t>(batch.dead.size());
    const int64_t width = block_rows(params.d_out);
    std::vector<int64_t> at(last - first);
    for (int64_t end = width; end < dead + width; end += width) {
        for (int64_t row = first; row < last; row++) {
            const int32_t *slots = &aux.slot[row * k];
            const int64_t from = at[row - first];
            const int64_t to = std::lower_bound(slots + from, slots + aux.count[row], end) - slots;
            if (to > from) {
                body(row, row * k + from, to - from);
            }
            at[row - first] = to;
        }
    }
}

double Trainer::decode_few_dead(int64_t first, int64_t last) {
    const Kernels &kernels = context.kernels;
    const Batch::Aux &aux = batch.chosen_dead;
    const int64_t d = params.d_out;
    std::copy_n(error_of(batch.levels[0].prefix, first), (last - first) * d, &batch.residual[first * d]);
    for_dead_blocks(first, last, [&](int64_t row, int64_t at, int64_t count) {
        kernels.gather(&batch.residual[row * d], d, batch.dead_dec.data(), &aux.slot[at], &aux.value[at], count);
    });
    double squares = 0;
    for (int64_t row = first; row < last; row++) {
        squares += kernels.dot3(&batch.residual[row * d], &batch.residual[row * d], d).gg;
    }
    return squares;
}

void Trainer::group_dead() {
    Batch::Aux &aux = batch.chosen_dead;
    const int64_t k = options.aux_k;
    const auto entries = [&](int64_t row) { return std::pair(row * k, row * k + aux.count[row]); };
    group_by_column(batch.rows, static_cast<int64_t>(batch.dead.size()), aux.slot.data(), aux.start, entries,
                    [&](int64_t to, int64_t row, int64_t i) {
                        aux.row_of[to] = static_cast<int32_t>(row);
                        aux.value_of[to] = aux.value[i];
                        aux.dz_of[to] = aux.dz[i];
                    });
}

void Trainer::sum_dead_rows(const float *of, int64_t d, const Block<float> &coefficient, Block<float> &result) {
    const Batch::Aux &aux = batch.chosen_dead;
    const int64_t height = block_rows(d);
    for_ranges(
        context, static_cast<int64_t>(batch.dead.size()), kLatents, [&](int64_t first, int64_t last, int64_t, int) {
            std::fill_n(&result[first * d], (last - first) * d, 0.0f);
            std::vector<int64_t> at(aux.start.begin() + first, aux.start.begin() + last);
            for (int64_t end = height; end < batch.rows + height; end += height) {
                for (int64_t slot = first; slot < last; slot++) {
                    const int64_t from = at[slot - first];
                    const int32_t *rows = aux.row_of.data();
                    const int64_t to = std::lower_bound(rows + from, rows + aux.start[slot + 1], end) - rows;
                    if (to > from) {
                        context.kernels.gather(&result[slot * d], d, of, rows + from, &coefficient[from], to - from);
                    }
                    at[slot - first] = to;
                }
            }
        });
}

double Trainer::backward_few_dead() {
    const Kernels &kernels = context.kernels;
    Batch::Aux &aux = batch.chosen_dead;
    const int64_t d = params.d_out;
    const int64_t k = options.aux_k;
    constexpr int64_t kRows = 128;
    const double through_encoder = std::sqrt(static_cast<double>(k)) * params.longest_encoder_row + 1;
    std::vector<double> bounds(context.parts(batch.rows, kRows));
    for_ranges(context, batch.rows, kRows, [&](int64_t first, int64_t last, int64_t part, int) {
        for_dead_blocks(first, last, [&](int64_t row, int64_t at, int64_t count) {
            kernels.dots(&batch.residual[row * d], d, batch.dead_dec.data(), &aux.slot[at], &aux.dz[at], count);
        });
        const auto norm = [&](const float *x, int64_t n) { return std::sqrt(kernels.dot3(x, x, n).gg); };
        for (int64_t row = first; row < last; row++) {
            bounds[part] += norm(&batch.residual[row * d], d) * norm(&aux.value[row * k], aux.count[row]) +
                            norm(&aux.dz[row * k], aux.count[row]) * (batch.input_norm[row] + through_encoder);
        }
    });
    group_dead();
    if (!options.freeze_decoder) {
        sum_dead_rows(batch.residual.data(), d, aux.value_of, batch.dead_dec_grad);
    }
    sum_dead_rows(batch.input.data(), params.d_in, aux.dz_of, batch.dead_enc_grad);
    for (size_t slot = 0; slot < batch.dead.size(); slot++) {
        const float *dz = aux.dz_of.data();
        batch.dead_sum[slot] = std::accumulate(dz + aux.start[slot], dz + aux.start[slot + 1], 0.0f);
    }
    double bound = 0;
    for (const double part : bounds) {
        bound += part;
    }
    return bound;
}

} // namespace sae::cpu
