#include "ragged.h"

namespace sae::cpu {

RaggedRows::RaggedRows(Context &context, int64_t rows, int64_t blocks, int64_t room)
    : context_(context), rows_(rows), blocks_(blocks), room_(room), pieces_(rows * blocks),
      used_(context.pool.threads()) {}

RaggedRows::Place RaggedRows::begin(int worker, int64_t most) {
    EntryList &list = context_.lists[worker];
    int64_t &used = used_[worker].entries;
    if (used > room_) {
        used = 0; /* nothing will be written: from here on entries only count, in bounded memory */
    }
    const int64_t size = static_cast<int64_t>(list.indices.size());
    if (used + most + kSlack > size) {
        list.indices.resize(std::max(used + most + kSlack, 2 * size));
        list.values.resize(list.indices.size());
    }
    return {&list.indices[used], &list.values[used]};
}

void RaggedRows::end(int worker, int64_t row, int64_t block, int64_t count) {
    int64_t &used = used_[worker].entries;
    pieces_[row * blocks_ + block] = {used, worker, static_cast<int32_t>(count)};
    used += count;
}

int64_t RaggedRows::finish(const Latents &into) {
    constexpr int64_t kRows = 64;
    int64_t entries = 0;
    for (const Piece &piece : pieces_) {
        entries += piece.count;
    }
    if (entries > room_ || entries > kMostEntries) {
        return entries;
    }
    int32_t at = 0;
    for (int64_t row = 0; row < rows_; row++) {
        into.offsets[row] = at;
        for (int64_t block = 0; block < blocks_; block++) {
            at += pieces_[row * blocks_ + block].count;
        }
    }
    into.offsets[rows_] = at;
    for_ranges(context_, rows_, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            int64_t to = into.begin(row);
            for (int64_t block = 0; block < blocks_; block++) {
                const Piece &piece = pieces_[row * blocks_ + block];
                const EntryList &list = context_.lists[piece.worker];
                std::copy_n(list.indices.begin() + piece.start, piece.count, into.indices + to);
                std::copy_n(list.values.begin() + piece.start, piece.count, into.values + to);
                to += piece.count;
            }
        }
    });
    return entries;
}

} // namespace sae::cpu
