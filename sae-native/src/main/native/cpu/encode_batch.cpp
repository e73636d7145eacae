/*
 * encode_batch.cpp: of all rows of a batch together the k * rows largest ReLU(z_pre) > 0, as ragged rows.
 *
 *   x [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 [entries], values float32 [entries]
 *   FLOPs 2 rows d_in d_sae, a tile at a time. Memory: at most 2 k rows candidates of 12 bytes for each worker (and a
 *   tile's row more), never all pre-activations.
 *
 * A worker that holds k * rows candidates knows a lower bound on the smallest value that will be chosen: values below it
 * are not listed, by any worker. When its list has doubled, nth_element cuts it, which raises the bound.
 *
 * Order and ties: value descending, then lower row, then lower index. The order is total, and only values strictly below
 * a bound are left out, so the choice does not depend on the number of threads, nor on which of them saw what.
 */
#include <atomic>
#include <limits>

#include "tiles.h"

namespace sae::cpu {
namespace {

constexpr int64_t kSlack = 16; /* of kernels.collect */
constexpr int64_t kLeastList = 4096;

struct Candidate {
    float value;
    int32_t row;
    int32_t latent;
};

bool before(const Candidate &a, const Candidate &b) {
    if (a.value != b.value) {
        return a.value > b.value;
    }
    return a.row != b.row ? a.row < b.row : a.latent < b.latent;
}

void keep_first(std::vector<Candidate> &list, int64_t most) {
    if (static_cast<int64_t>(list.size()) > most) {
        std::nth_element(list.begin(), list.begin() + (most - 1), list.end(), before);
        list.resize(most);
    }
}

struct Worker {
    std::vector<Candidate> list;
    std::vector<uint64_t> keys;
};

class Bound {
  public:
    float value() const { return least_.load(std::memory_order_relaxed); }
    void raise(float to) {
        float now = value();
        while (to > now && !least_.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
        }
    }

  private:
    std::atomic<float> least_{std::numeric_limits<float>::denorm_min()}; /* ReLU: only positive values */
};

/* The chosen candidates in the order of their rows and latents. */
void write_rows(Context &context, const std::vector<Candidate> &chosen, int64_t rows, const Latents &into) {
    constexpr int64_t kRows = 64;
    std::vector<int32_t> next(rows);
    for (const Candidate &one : chosen) {
        next[one.row]++;
    }
    int32_t at = 0;
    for (int64_t row = 0; row < rows; row++) {
        into.offsets[row] = at;
        at += std::exchange(next[row], at);
    }
    into.offsets[rows] = at;
    std::vector<Candidate> by_row(chosen.size());
    for (const Candidate &one : chosen) {
        by_row[next[one.row]++] = one;
    }
    for_ranges(context, rows, kRows, [&](int64_t first, int64_t last, int64_t, int) {
        for (int64_t row = first; row < last; row++) {
            std::sort(by_row.begin() + into.begin(row), by_row.begin() + into.end(row),
                      [](const Candidate &a, const Candidate &b) { return a.latent < b.latent; });
            for (int64_t i = into.begin(row); i < into.end(row); i++) {
                into.indices[i] = by_row[i].latent;
                into.values[i] = by_row[i].value;
            }
        }
    });
}

} // namespace

int64_t encode_batch(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                     const Latents &into) {
    const int64_t most = k * rows;
    const int64_t room = most + std::max(most, kLeastList);
    const RaggedTiles tiles(rows, encoder.latents);
    std::vector<Worker> workers(context.pool.threads());
    Bound bound;
    tiles.run(context, [&](int64_t row, int64_t height, int64_t latent, int64_t width, int worker) {
        std::vector<Candidate> &list = workers[worker].list;
        std::vector<uint64_t> &keys = workers[worker].keys;
        keys.resize(tiles.width + kSlack);
        for_tile(context, encoder, input + row * encoder.d_in, height, latent, width, worker, [&](int64_t i, float *p) {
            int64_t count = 0;
            context.kernels.collect(p, nullptr, 0, 0, width, bound.value(), latent, keys.data(), &count,
                                    static_cast<int64_t>(keys.size()));
            for (int64_t at = 0; at < count; at++) {
                list.push_back({key_value(keys[at]), static_cast<int32_t>(row + i), key_index(keys[at])});
            }
            if (static_cast<int64_t>(list.size()) >= room) {
                keep_first(list, most);
                bound.raise(list[most - 1].value);
            }
        });
    });
    std::vector<Candidate> &all = workers[0].list;
    for (size_t worker = 1; worker < workers.size(); worker++) {
        std::vector<Candidate> &list = workers[worker].list;
        all.insert(all.end(), list.begin(), list.end());
        std::vector<Candidate>().swap(list);
    }
    keep_first(all, most);
    const int64_t entries = static_cast<int64_t>(all.size());
    if (entries <= into.room && entries <= kMostEntries) {
        write_rows(context, all, rows, into);
    }
    return entries;
}

int64_t encode_batch(Params &params, const float *x, int64_t rows, int64_t k, const Latents &into) {
    const float *input = encoder_input(params, x, rows);
    return encode_batch(params.context, encoder_of(params), input, rows, k, into);
}

} // namespace sae::cpu
