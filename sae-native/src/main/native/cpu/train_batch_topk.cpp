/*
 * train_batch_topk.cpp: of all rows of a batch together the k * rows largest ReLU'd pre-activations > 0.
 *
 *   input [rows, d_in], W_enc [d_sae, d_in] -> offsets int32 [rows + 1], indices int32 [entries], values float32 [entries]
 *   FLOPs 2 rows d_in d_sae. Pre-activations are never all in memory: a part of the rows keeps at most twice as many
 *   candidates as are wanted, and drops those below the best known lower bound on the least value that is wanted.
 *
 * Deterministic: the bound only decides what is dropped early, never what is chosen; of equal values the first is.
 */
#include <atomic>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr int64_t kTileRows = 256;
constexpr int64_t kTileLatents = 1536;

struct Candidate {
    float value;
    int32_t latent;
    int32_t row;
};

bool larger(const Candidate &a, const Candidate &b) {
    if (a.value != b.value) {
        return a.value > b.value;
    }
    return a.row != b.row ? a.row < b.row : a.latent < b.latent;
}

/* A bound that only rises, shared by all parts. */
void raise(std::atomic<float> &bound, float value) {
    float known = bound.load(std::memory_order_relaxed);
    while (value > known && !bound.compare_exchange_weak(known, value, std::memory_order_relaxed)) {
    }
}

/* Keeps the `wanted` largest. */
void prune(std::vector<Candidate> &candidates, int64_t wanted, std::atomic<float> &bound) {
    if (static_cast<int64_t>(candidates.size()) <= wanted) {
        return;
    }
    const auto last = candidates.begin() + (wanted - 1);
    std::nth_element(candidates.begin(), last, candidates.end(), larger);
    raise(bound, last->value);
    candidates.resize(wanted);
}

} // namespace

int64_t select_of_batch(Params &params, const float *input, int64_t rows, const Latents &into) {
    Context &context = params.context;
    const int64_t d = params.d_in;
    const int64_t wanted = into.k * rows;
    const int64_t width = std::min(kTileLatents, params.d_sae);
    std::atomic<float> bound{0};
    std::vector<std::vector<Candidate>> found(context.parts(rows, kTileRows));
    for_ranges(context, rows, kTileRows, [&](int64_t first, int64_t last, int64_t part, int worker) {
        Block<float> &tile = context.scratch[worker];
        tile.grow((last - first) * width);
        std::vector<Candidate> &own = found[part];
        for (int64_t latent = 0; latent < params.d_sae; latent += width) {
            const int64_t count = std::min(width, params.d_sae - latent);
            context.multiply({last - first, count, d, input + first * d, d, 1, params.w_enc() + latent * d, 1, d,
                              tile.data(), width, false},
                             worker);
            for (int64_t row = first; row < last; row++) {
                const float *p = tile.data() + (row - first) * width;
                const float least = bound.load(std::memory_order_relaxed);
                for (int64_t i = 0; i < count; i++) {
                    const float value = p[i] + params.b_enc()[latent + i];
                    if (value > 0 && value >= least) {
                        own.push_back({value, static_cast<int32_t>(latent + i), static_cast<int32_t>(row)});
                    }
                }
                if (static_cast<int64_t>(own.size()) > 2 * wanted) {
                    prune(own, wanted, bound);
                }
            }
        }
        prune(own, wanted, bound);
    });
    std::vector<Candidate> chosen;
    for (const std::vector<Candidate> &own : found) {
        chosen.insert(chosen.end(), own.begin(), own.end());
    }
    prune(chosen, wanted, bound);
    std::sort(chosen.begin(), chosen.end(), [](const Candidate &a, const Candidate &b) {
        return a.row != b.row ? a.row < b.row : a.latent < b.latent;
    });
    std::fill_n(into.offsets, rows + 1, 0);
    for (size_t i = 0; i < chosen.size(); i++) {
        into.offsets[chosen[i].row + 1]++;
        into.indices[i] = chosen[i].latent;
        into.values[i] = chosen[i].value;
    }
    for (int64_t row = 0; row < rows; row++) {
        into.offsets[row + 1] += into.offsets[row];
    }
    return static_cast<int64_t>(chosen.size());
}

} // namespace sae::cpu
