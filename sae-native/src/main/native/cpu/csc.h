/* csc.h: a counting sort of entries from row by row to column by column, each column's in row order. */
#ifndef SAE_CPU_CSC_H
#define SAE_CPU_CSC_H

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace sae::cpu {

/*
 * entries(row): the first and the last + 1 of a row's entries, whose columns are index[first ...].
 * start [columns + 1]: where each column's entries begin afterwards. place(to, row, i): entry i of a row becomes `to`.
 */
template <typename Entries, typename Place>
void group_by_column(int64_t rows, int64_t columns, const int32_t *index, std::vector<int64_t> &start,
                     Entries &&entries, Place &&place) {
    start.assign(columns + 1, 0);
    for (int64_t row = 0; row < rows; row++) {
        const auto [first, last] = entries(row);
        for (int64_t i = first; i < last; i++) {
            start[index[i] + 1]++;
        }
    }
    for (int64_t column = 0; column < columns; column++) {
        start[column + 1] += start[column];
    }
    std::vector<int64_t> next(start);
    for (int64_t row = 0; row < rows; row++) {
        const auto [first, last] = entries(row);
        for (int64_t i = first; i < last; i++) {
            place(next[index[i]]++, row, i);
        }
    }
}

} // namespace sae::cpu
#endif
