/*
 * rounds.h: how many latents each round of an encode with lists scores, so that lists rarely overflow.
 *
 * The first round scores `seen` latents densely. A later one lists, for each row, what passes the row's threshold
 * (epilogue.cuh) among the latents up to `next`. How many entries is that, if latents are in no particular order? k of
 * the seen ones are at or above their k-th value, and
 *
 *   above that value   k next / seen of all, in the mean; the number is negative hypergeometric, with a deviation of at
 *                      most 1 / sqrt(k) of the mean, so that 1 + kDeviations / sqrt(k) times the mean covers it
 *   within the bound   a score may be M below its value, and the threshold another M (rounding.cuh), so what lies up to
 *                      2 M below is listed too. M = r |x| |w|, r = 2 kRounding + a, and a row's scores have a deviation s of
 *                      |x| |w| / sqrt(d) even where directions have no structure at all: 2 M / s <= 2 r sqrt(d). Of a
 *                      normal distribution, the density at the value that a share p exceeds is at most
 *                      p sqrt(2 ln(1 / p)) / s, and relative to p it only falls further down: admitting 2 M more
 *                      multiplies the entries by at most exp(2 r sqrt(d) sqrt(2 ln(seen / k))): 1.1 at d = 768, 1.3 to
 *                      1.5 at d = 4096 (with bfloat16 in place of halves: 1.7, and 3.5 to 6).
 *
 * So next = seen capacity / (k, times both factors). overflow_check.cpp holds the rates at the benchmarks' shapes. A row
 * that overflows nevertheless (equal values; an x whose norm lies in columns that the latents do not read) costs time,
 * not correctness (recompute.cu), and each step reports how many there were.
 *
 * A launch is whole tiles of kRows rows by kLatentGroup latents, as many at a time as there are clusters of 2
 * multiprocessors. The last of these waves is rarely full, so a round that is not the last takes the number of latents,
 * from half of what it may up to that, which fills its waves best. With 66 clusters and 4096 rows: 2,048 latents first (97 %
 * of two waves), and 12 waves for 12,288 latents, 16 for 16,384, which cannot be done in fewer.
 */
#ifndef SAE_CUDA_ROUNDS_H
#define SAE_CUDA_ROUNDS_H

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sae::cuda::rounds {

#ifndef SAE_SCORE_BYTES // tests on the CPU make it small
#define SAE_SCORE_BYTES (32 << 20)
#endif
constexpr int64_t kScores = SAE_SCORE_BYTES / static_cast<int64_t>(sizeof(float)); // scores that exist at a time
constexpr int64_t kGroup = 256;       // rounds are multiples of this: kLatentGroup
constexpr int64_t kCapacityPerK = 24; // of a list
constexpr int64_t kLeastCapacity = 512;
constexpr int64_t kMostCapacity = 4096;
constexpr double kDeviations = 4.0;
constexpr double kRounding = 0.00022;     // |dw| / |w| and |dx| / |x|: 0.0002 for normal and uniform elements
constexpr double kSums = 2.6 / (1 << 24); // a = kSums (d + 32) of rounding.cuh
constexpr int64_t kRows = 256;            // of a cluster's tile

inline int64_t list_capacity(int64_t k) {
    int64_t capacity = kLeastCapacity;
    while (capacity < kMostCapacity && capacity < kCapacityPerK * k) {
        capacity *= 2;
    }
    return capacity;
}

/* At most `most` new latents, in whole groups: what fills the waves of a launch best. */
inline int64_t whole_waves(int64_t most, int64_t rows, int64_t clusters) {
    const int64_t row_tiles = (rows + kRows - 1) / kRows;
    int64_t best = most / kGroup;
    double fullest = 0.0;
    for (int64_t groups = best; groups > 0 && 2 * groups > most / kGroup; groups--) {
        const int64_t tiles = groups * row_tiles;
        const int64_t waves = (tiles + clusters - 1) / clusters;
        const double full = static_cast<double>(tiles) / static_cast<double>(waves * clusters);
        if (full > fullest) {
            fullest = full;
            best = groups;
        }
    }
    return best * kGroup;
}

/* Latents of the first round: dense scores of this many fit. */
inline int64_t first_round(int64_t rows, int64_t k, int64_t clusters) {
    const int64_t least = (2 * k + kGroup - 1) / kGroup * kGroup;
    return std::max(whole_waves(kScores / rows, rows, clusters), least);
}

/* Entries that pass the bound for each one above the k-th value, once `seen` latents are scored. */
inline double admitted(int64_t d_in, int64_t seen, int64_t k) {
    const double d = static_cast<double>(d_in);
    const double margins = 2.0 * (2.0 * kRounding + kSums * (d + 32.0)) * std::sqrt(d);
    return std::exp(margins * std::sqrt(2.0 * std::log(static_cast<double>(seen) / static_cast<double>(k))));
}

struct Round {
    int64_t rows, d_in, d_sae, k;
    int64_t clusters; // pairs of multiprocessors
    bool bounded;     // scores have a margin
};

/* Latents scored after the round that follows `seen`, at most d_sae. */
inline int64_t next_round(int64_t seen, const Round &of) {
    const double spread = 1.0 + kDeviations / std::sqrt(static_cast<double>(of.k));
    const double growth = static_cast<double>(list_capacity(of.k)) /
                          (static_cast<double>(of.k) * spread * (of.bounded ? admitted(of.d_in, seen, of.k) : 1.0));
    const auto next = static_cast<int64_t>(static_cast<double>(seen) * growth);
    if (next >= of.d_sae) {
        return of.d_sae;
    }
    return std::min(seen + std::max(whole_waves(next - seen, of.rows, of.clusters), kGroup), of.d_sae);
}

} // namespace sae::cuda::rounds
#endif
