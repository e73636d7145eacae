/*
 * rounds.h: how many latents each round of an encode with lists scores, so that lists rarely overflow.
 *
 * The first round scores `seen` latents densely. A later one lists, for each row, what passes the row's threshold
 * (epilogue.cuh) among the latents up to `next`. How many entries is that, if latents are in no particular order? k of
 * the seen ones are at or above their k-th value, and
 *
 *   above that value   k next / seen of all, in the mean; the number is negative hypergeometric, with a deviation of at
 *                      most 1 / sqrt(k) of the mean, so that 1 + kDeviations / sqrt(k) times the mean covers it
 *   within the bound   a score may be M below its value, and the threshold another M (bf16.cuh), so what lies up to 2 M
 *                      below is listed too. M = r |x| |w|, r = 2 kRounding + a, and a row's scores have a deviation s of
 *                      |x| |w| / sqrt(d) even where directions have no structure at all: 2 M / s <= 2 r sqrt(d). Of a
 *                      normal distribution, the density at the value that a share p exceeds is at most
 *                      p sqrt(2 ln(1 / p)) / s, and relative to p it only falls further down: admitting 2 M more
 *                      multiplies the entries by at most exp(2 r sqrt(d) sqrt(2 ln(seen / k))): 1.7 at d = 768, 3.5 to 6
 *                      at d = 4096.
 *
 * So next = seen capacity / (k, times both factors). overflow_check.cpp holds the rates at the benchmarks' shapes. A row
 * that overflows nevertheless (equal values; an x whose norm lies in columns that the latents do not read) costs time,
 * not correctness (recompute.cu), and each step reports how many there were.
 */
#ifndef SAE_CUDA_ROUNDS_H
#define SAE_CUDA_ROUNDS_H

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sae::cuda::rounds {

#ifndef SAE_SCORE_BYTES // tests on the CPU make it small
#define SAE_SCORE_BYTES (24 << 20)
#endif
constexpr int64_t kScores = SAE_SCORE_BYTES / static_cast<int64_t>(sizeof(float)); // scores that exist at a time
constexpr int64_t kGroup = 256;       // rounds are multiples of this: kLatentGroup
constexpr int64_t kCapacityPerK = 24; // of a list
constexpr int64_t kLeastCapacity = 512;
constexpr int64_t kMostCapacity = 4096;
constexpr double kDeviations = 4.0;
constexpr double kRounding = 0.0017;      // |dw| / |w| and |dx| / |x|: 0.0015 to 0.0016 for normal and uniform elements
constexpr double kSums = 4.0 / (1 << 24); // a = kSums (d + 16) of bf16.cuh

inline int64_t list_capacity(int64_t k) {
    int64_t capacity = kLeastCapacity;
    while (capacity < kMostCapacity && capacity < kCapacityPerK * k) {
        capacity *= 2;
    }
    return capacity;
}

/* Latents of the first round: dense scores of this many fit. */
inline int64_t first_round(int64_t rows, int64_t k) {
    return std::max(kScores / rows / kGroup * kGroup, (2 * k + kGroup - 1) / kGroup * kGroup);
}

/* Entries that pass the bound for each one above the k-th value, once `seen` latents are scored. */
inline double admitted(int64_t d_in, int64_t seen, int64_t k) {
    const double d = static_cast<double>(d_in);
    const double margins = 2.0 * (2.0 * kRounding + kSums * (d + 16.0)) * std::sqrt(d);
    return std::exp(margins * std::sqrt(2.0 * std::log(static_cast<double>(seen) / static_cast<double>(k))));
}

/* Latents scored after the next round, at most d_sae. bounded: scores have a margin. */
inline int64_t next_round(int64_t seen, int64_t d_in, int64_t d_sae, int64_t k, bool bounded) {
    const double spread = 1.0 + kDeviations / std::sqrt(static_cast<double>(k));
    const double growth = static_cast<double>(list_capacity(k)) /
                          (static_cast<double>(k) * spread * (bounded ? admitted(d_in, seen, k) : 1.0));
    const auto next = static_cast<int64_t>(static_cast<double>(seen) * growth) / kGroup * kGroup;
    return std::min(std::max(next, seen + kGroup), d_sae);
}

} // namespace sae::cuda::rounds
#endif
