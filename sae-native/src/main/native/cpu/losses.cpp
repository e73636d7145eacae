/*
 * losses.cpp: the factors that turn sums of squares into losses (sae_abi.h: SAE_LOSS_*, SAE_AUX_*).
 * Sums over columns are taken in double about the first row, part by part in a fixed order.
 */
#include "trainer.h"

namespace sae::cpu {
namespace {

/* A ratio over no variance counts as 0. */
double inverse(double denominator) { return denominator == 0 ? 0 : 1 / denominator; }

} // namespace

double squares_about_mean(Context &context, const float *matrix, int64_t rows, int64_t columns) {
    constexpr int64_t kRows = 128;
    const int64_t parts = context.parts(rows, kRows);
    std::vector<double> sums(parts * columns);
    std::vector<double> squares(parts * columns);
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t part, int) {
        for (int64_t row = first; row < last; row++) {
            context.kernels.moments(matrix + row * columns, matrix, &sums[part * columns], &squares[part * columns],
                                    columns);
        }
    });
    double total = 0;
    for (int64_t column = 0; column < columns; column++) {
        double sum = 0;
        double square = 0;
        for (int64_t part = 0; part < parts; part++) {
            sum += sums[part * columns + column];
            square += squares[part * columns + column];
        }
        total += std::max(0.0, square - sum * sum / static_cast<double>(rows));
    }
    return total;
}

double Trainer::loss_scale(const Sums &sums) const {
    const double rows = static_cast<double>(batch.rows);
    switch (options.loss) {
    case SAE_LOSS_SUM_MEAN:
        return batch.weight / rows;
    case SAE_LOSS_FVU:
        return batch.weight * inverse(sums.variance);
    default:
        return batch.weight / (rows * static_cast<double>(params.d_out));
    }
}

double Trainer::aux_scale(const Sums &sums, const Batch::Level &level) {
    const double rows = static_cast<double>(batch.rows);
    double scale = batch.weight * options.aux_coefficient;
    if (options.aux_scale_by_dead) {
        scale *= std::min(1.0, static_cast<double>(level.last - level.first) / static_cast<double>(options.aux_k));
    }
    switch (options.aux_norm) {
    case SAE_AUX_SUM_MEAN:
        return scale / rows;
    case SAE_AUX_TARGET_VARIANCE:
        return scale * inverse(sums.variance);
    case SAE_AUX_RESIDUAL_VARIANCE: /* of u = -error: the same squares */
        return scale * inverse(squares_about_mean(context, error_of(level.prefix, 0), batch.rows, params.d_out));
    default:
        return scale / (rows * static_cast<double>(params.d_out));
    }
}

} // namespace sae::cpu
