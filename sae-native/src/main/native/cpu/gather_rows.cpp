/*
 * gather_rows.cpp: into [count, columns] = factor x from [rows[i], columns]; 8 columns bytes per row. A number outside
 * [0, from_rows) gives a row of NaN, which every later operation refuses.
 */
#include <limits>

#include "operations.h"

namespace sae::cpu {

void gather_rows(Context &context, const float *from, int64_t from_rows, int64_t columns, const int32_t *rows,
                 int64_t count, double factor, float *into) {
    constexpr int64_t kRows = 64;
    context.pool.run(context.parts(count, kRows), [&](int64_t part, int) {
        for (int64_t i = part * kRows; i < std::min(count, (part + 1) * kRows); i++) {
            float *target = into + i * columns;
            if (rows[i] < 0 || rows[i] >= from_rows) {
                std::fill_n(target, columns, std::numeric_limits<float>::quiet_NaN());
                continue;
            }
            const float *source = from + rows[i] * columns;
            if (factor == 1) {
                std::copy_n(source, columns, target);
            } else {
                std::transform(source, source + columns, target,
                               [&](float value) { return static_cast<float>(value * factor); });
            }
        }
    });
}

} // namespace sae::cpu
