/*
 * overflow_check.cpp: how often a row's list of candidates overflows, at the sizes and with the constants of the real
 * kernels (rounds.h, rounding.cuh), from the distribution of scores alone: no product is computed. And how many candidates
 * are left, whose float32 value is computed (select.cu), with the bytes of W_enc that this reads for a batch, and how many waves
 * of tiles the rounds take on 132 multiprocessors.
 *
 * A row's scores are drawn, with x of norm 1: deviation |w| / sqrt(d), the least that directions without any structure
 * have, which makes the bound as large relative to them as it gets. The bounds are those of vectors that are really
 * rounded. Then the rounds run as in encode_topk.cu: threshold = k-th largest lower bound, what passes it is listed.
 *
 *   normal, uniform   elements of W_enc and of x, latents of equal norm
 *   trained           norms that differ (lognormal, 0.3), and 1.5 k latents a row that stand out; a group's bound is that
 *                     of its largest latent
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../../../main/native/cuda/encode/rounding.cuh"
#include "../../../main/native/cuda/encode/rounds.h"

namespace {

using namespace sae::cuda;

constexpr int64_t kBatch = 4096;
constexpr int64_t kScoresDrawn = 3 << 20; // of a case
constexpr double kMostOverflow = 0.005;   // share of rows
constexpr double kMostSettled = 1.75;     // candidates left, times k
constexpr int64_t kClusters = 66;         // of an H100 or H200

struct Shape {
    const char *name;
    int64_t d, m, k;
};
constexpr Shape kShapes[] = {{"gpt2", 768, 12288, 16},
                             {"1b", 2048, 14336, 48},
                             {"3b", 3072, 18432, 64},
                             {"8b", 4096, 16384, 80},
                             {"wide", 4096, 131072, 64}};

enum class Weights { kNormal, kUniform, kTrained };
constexpr const char *kNames[] = {"normal", "uniform", "trained"};

/* splitmix64, and two normal numbers from the polar method. */
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    double uniform() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return (static_cast<double>((z ^ z >> 31) >> 11) + 0.5) / 9007199254740992.0;
    }
    double normal() {
        if (held_) {
            held_ = false;
            return other_;
        }
        double a = 0;
        double b = 0;
        double square = 2;
        while (square >= 1) {
            a = 2 * uniform() - 1;
            b = 2 * uniform() - 1;
            square = a * a + b * b;
        }
        const double factor = std::sqrt(-2 * std::log(square) / square);
        other_ = b * factor;
        held_ = true;
        return a * factor;
    }

  private:
    uint64_t state_;
    double other_ = 0;
    bool held_ = false;
};

/* A vector of d elements of this kind, scaled to norm 1, as the kernels round it with this scale. */
Rounding<Narrow::kHalf> rounded_vector(Random &random, int64_t d, bool uniform, float scale) {
    std::vector<double> values(static_cast<size_t>(d));
    double squares = 0;
    for (double &value : values) {
        value = uniform ? 2 * random.uniform() - 1 : random.normal();
        squares += value * value;
    }
    Rounding<Narrow::kHalf> sums(scale);
    for (const double value : values) {
        sums.add(static_cast<float>(value / std::sqrt(squares)));
    }
    return sums;
}

LatentBound scaled(const LatentBound &of, float by) { return {of.error * by, of.length * by, of.fixed}; }

LatentBound larger(const LatentBound &a, const LatentBound &b) {
    return {std::max(a.error, b.error), std::max(a.length, b.length), std::max(a.fixed, b.fixed)};
}

struct Latents {
    std::vector<float> norm;
    std::vector<LatentBound> bound;
    std::vector<LatentBound> group;
};

Latents draw_latents(Random &random, const Shape &shape, Weights kind) {
    constexpr size_t kBank = 64; // vectors really rounded
    std::vector<LatentBound> bank;
    for (size_t i = 0; i < kBank; i++) {
        bank.push_back(latent_bound(rounded_vector(random, shape.d, kind == Weights::kUniform, 1024.0f), 0.0f));
    }
    Latents latents;
    latents.group.resize(static_cast<size_t>((shape.m + kLatentGroup - 1) / kLatentGroup), LatentBound{0, 0, 0});
    for (int64_t j = 0; j < shape.m; j++) {
        const auto norm = static_cast<float>(kind == Weights::kTrained ? std::exp(0.3 * random.normal()) : 1.0);
        latents.norm.push_back(norm);
        latents.bound.push_back(scaled(bank[static_cast<size_t>(j) % kBank], norm));
        LatentBound &group = latents.group[static_cast<size_t>(j / kLatentGroup)];
        group = larger(group, latents.bound.back());
    }
    return latents;
}

struct Candidate {
    float score;
    float margin; // of the latent
};

rounds::Round round_of(const Shape &shape, bool bounded) {
    return {kBatch, shape.d, shape.m, shape.k, kClusters, bounded};
}

class Row {
  public:
    Row(const Shape &shape, const Latents &latents, const RowBound &bound, bool bounded)
        : shape_(shape), latents_(latents), bound_(bound), bounded_(bounded) {}

    /* Candidates after all rounds. */
    size_t settled() const { return kept_.size(); }

    /* Whether its list overflowed in any round; `listed`: entries of all lists. */
    bool overflows(const std::vector<float> &scores, double &listed) {
        const int64_t first = std::min(rounds::first_round(kBatch, shape_.k, kClusters), shape_.m);
        add(scores, 0, first);
        raise();
        for (int64_t seen = first; seen < shape_.m;) {
            const int64_t next = rounds::next_round(seen, round_of(shape_, bounded_));
            add(scores, seen, next);
            listed += static_cast<double>(kept_.size());
            if (static_cast<int64_t>(kept_.size()) > rounds::list_capacity(shape_.k)) {
                return true;
            }
            raise();
            seen = next;
        }
        return false;
    }

  private:
    float margin_of(const LatentBound &latent) const { return bounded_ ? margin(bound_, latent) : 0.0f; }

    void add(const std::vector<float> &scores, int64_t first, int64_t last) {
        for (int64_t j = first; j < last; j++) {
            const auto at = static_cast<size_t>(j);
            if (scores[at] + margin_of(latents_.group[at / kLatentGroup]) >= threshold_ && scores[at] > 0) {
                kept_.push_back({scores[at], margin_of(latents_.bound[at])});
            }
        }
    }

    void raise() {
        const auto k = static_cast<size_t>(shape_.k);
        if (kept_.size() > k) {
            std::vector<float> lower;
            for (const Candidate &candidate : kept_) {
                lower.push_back(candidate.score - candidate.margin);
            }
            std::nth_element(lower.begin(), lower.begin() + static_cast<int64_t>(k) - 1, lower.end(), std::greater<>());
            threshold_ = std::max(threshold_, lower[k - 1]);
        }
        std::erase_if(kept_, [&](const Candidate &of) { return of.score + of.margin < threshold_; });
    }

    const Shape &shape_;
    const Latents &latents_;
    const RowBound &bound_;
    const bool bounded_;
    float threshold_ = 0;
    std::vector<Candidate> kept_;
};

std::vector<float> draw_scores(Random &random, const Shape &shape, const Latents &latents, Weights kind) {
    std::vector<float> scores(static_cast<size_t>(shape.m));
    const double deviation = 1 / std::sqrt(static_cast<double>(shape.d));
    for (size_t j = 0; j < scores.size(); j++) {
        scores[j] = static_cast<float>(random.normal() * deviation) * latents.norm[j];
    }
    for (int64_t i = 0; kind == Weights::kTrained && i < 3 * shape.k / 2; i++) {
        const auto j = static_cast<size_t>(random.uniform() * static_cast<double>(shape.m));
        scores[j] = static_cast<float>(-0.1 * std::log(random.uniform())) * latents.norm[j];
    }
    return scores;
}

/* Returns whether the rate, the candidates left and the waves are as few as they should be. */
bool check(const Shape &shape, Weights kind, bool bounded) {
    Random random(static_cast<uint64_t>(shape.m + shape.d) * 31 + static_cast<uint64_t>(kind));
    const Latents latents = draw_latents(random, shape, kind);
    const RowBound bound = row_bound(rounded_vector(random, shape.d, kind == Weights::kUniform, 65536.0f), shape.d);
    const int64_t rows = kScoresDrawn / shape.m;
    int64_t overflowed = 0;
    double listed = 0;
    double settled = 0;
    for (int64_t i = 0; i < rows; i++) {
        Row row(shape, latents, bound, bounded);
        overflowed += row.overflows(draw_scores(random, shape, latents, kind), listed);
        settled += static_cast<double>(row.settled()) / static_cast<double>(rows);
    }
    const double rate = static_cast<double>(overflowed) / static_cast<double>(rows);
    std::string sizes;
    int64_t waves = 0;
    for (int64_t before = 0, seen = std::min(rounds::first_round(kBatch, shape.k, kClusters), shape.m);;) {
        sizes += (sizes.empty() ? "" : " ") + std::to_string(seen);
        const int64_t tiles = (seen - before + kLatentGroup - 1) / kLatentGroup * (kBatch / rounds::kRows);
        waves += (tiles + kClusters - 1) / kClusters;
        if (seen == shape.m) {
            break;
        }
        before = seen;
        seen = rounds::next_round(seen, round_of(shape, bounded));
    }
    std::printf(
        "%-5s %-8s %-5s %5.1f %% of rows overflow, %6.0f listed a row, capacity %4lld, latents after each round %s "
        "in %lld waves, %5.1f settled a row: %.2f k, %.1f GB a batch\n",
        shape.name, kNames[static_cast<int>(kind)], bounded ? "fp32" : "bf16", 100 * rate,
        listed / static_cast<double>(rows), static_cast<long long>(rounds::list_capacity(shape.k)), sizes.c_str(),
        static_cast<long long>(waves), settled, settled / static_cast<double>(shape.k),
        bounded ? settled * static_cast<double>(4 * shape.d * kBatch) / 1e9 : 0.0);
    if (rate > kMostOverflow) {
        std::fprintf(stderr, "FAILED %s %s: expected at most %g of the rows to overflow, got %g\n", shape.name,
                     kNames[static_cast<int>(kind)], kMostOverflow, rate);
        return false;
    }
    const int64_t tiles = (shape.m + kLatentGroup - 1) / kLatentGroup * (kBatch / rounds::kRows);
    if (const int64_t least = (tiles + kClusters - 1) / kClusters; waves > least) {
        std::fprintf(stderr, "FAILED %s: expected rounds of %lld waves together, got %lld\n", shape.name,
                     static_cast<long long>(least), static_cast<long long>(waves));
        return false;
    }
    if (settled > kMostSettled * static_cast<double>(shape.k)) {
        std::fprintf(stderr, "FAILED %s %s: expected at most %g k candidates to be left, got %g\n", shape.name,
                     kNames[static_cast<int>(kind)], kMostSettled, settled / static_cast<double>(shape.k));
        return false;
    }
    return true;
}

} // namespace

int main() {
    static_assert(rounds::kGroup == kLatentGroup, "a round is whole groups");
    bool good = true;
    for (const Shape &shape : kShapes) {
        for (const Weights kind : {Weights::kNormal, Weights::kUniform, Weights::kTrained}) {
            good = check(shape, kind, true) && good;
        }
        good = check(shape, Weights::kNormal, false) && good;
    }
    return good ? 0 : 1;
}
