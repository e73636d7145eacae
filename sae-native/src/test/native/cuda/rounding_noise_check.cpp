/* rounding_noise_check.cpp: tests that stochastic rounding noise is independent across steps, matrices
 * and elements. */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_set>
#include <vector>

#include "../../../main/native/cuda/device/rounding_noise.cuh"

namespace {

constexpr int kElements = 1 << 13;
constexpr int kSteps = 60;
bool failed = false;

void expect(bool good, const std::string &what, double got) {
    if (!good) {
        std::fprintf(stderr, "FAILED %s: %g\n", what.c_str(), got);
        failed = true;
    }
}

/* Mean 0 and variance 1: the noise that rounds a first moment (low bits) or a second one (high bits). */
using Noise = std::vector<double>;

double centred(uint32_t half) { return (half - 32767.5) / std::sqrt((65536.0 * 65536.0 - 1) / 12); }

Noise noise(uint32_t seed, bool high, int64_t first) {
    Noise values(kElements);
    for (int i = 0; i < kElements; i++) {
        const uint32_t bits = sae::cuda::random_bits(seed, first + i);
        values[static_cast<size_t>(i)] = centred(high ? bits >> 16 : bits & 0xFFFFu);
    }
    return values;
}

/* Correlations as standard normal numbers. */
struct Correlations {
    double largest = 0, squares = 0;
    int64_t count = 0;

    void add(const Noise &a, const Noise &b, int shift) {
        double sum = 0;
        for (size_t i = 0; i + static_cast<size_t>(shift) < a.size(); i++) {
            sum += a[i] * b[i + static_cast<size_t>(shift)];
        }
        const double z = sum / std::sqrt(static_cast<double>(a.size() - static_cast<size_t>(shift)));
        largest = std::max(largest, std::abs(z));
        squares += z * z;
        count++;
    }
    void judge(const std::string &what) const {
        expect(largest < 5.5, what + ": largest correlation in standard deviations", largest);
        const double mean = squares / static_cast<double>(count);
        expect(std::abs(mean - 1) < 5 * std::sqrt(2.0 / static_cast<double>(count)), what + ": mean square", mean);
    }
};

void check_correlations() {
    std::vector<Noise> all;
    for (int64_t step = 1; step <= kSteps; step++) {
        for (int matrix = 0; matrix < 2; matrix++) {
            const uint32_t seed = sae::cuda::rounding_seed(step, matrix);
            all.push_back(noise(seed, false, 0));
            all.push_back(noise(seed, true, 0));
        }
    }
    Correlations across;
    Correlations along;
    for (size_t i = 0; i < all.size(); i++) {
        for (size_t j = 0; j < i; j++) {
            across.add(all[i], all[j], 0);
        }
        for (int shift : {1, 2, 3, 4, 8, 64, 256, 768, 1024, 4096}) {
            along.add(all[i], all[i], shift);
            along.add(all[i], all[i ^ 1], shift);
        }
    }
    across.judge("steps, matrices and moments");
    along.judge("elements");
    Correlations far; // elements 2^32 apart, and in the next step
    const uint32_t seed = sae::cuda::rounding_seed(1, 0);
    for (int64_t high = 1; high < 100; high++) {
        far.add(noise(seed, false, 0), noise(seed, false, high << 32), 0);
    }
    far.judge("elements 2^32 apart");
    Correlations in_time;
    for (int64_t element = 0; element < 500; element++) {
        Noise steps(2000);
        for (size_t step = 0; step < steps.size(); step++) {
            const uint32_t at = sae::cuda::rounding_seed(static_cast<int64_t>(step), 0);
            steps[step] = centred(sae::cuda::random_bits(at, element) & 0xFFFFu);
        }
        for (int shift : {1, 2, 4, 16, 64}) {
            in_time.add(steps, steps, shift);
        }
    }
    in_time.judge("an element's steps");
}

/* Two steps have about n^2 / 2^32 of n numbers in common, never all of them. */
void check_sets() {
    constexpr int64_t kCount = 1 << 20;
    std::unordered_set<uint32_t> first(2 * kCount);
    for (int64_t element = 0; element < kCount; element++) {
        first.insert(sae::cuda::random_bits(sae::cuda::rounding_seed(1, 0), element));
    }
    /* A step whose key differs from the first one's only in its low bits; about one in a few thousand does. */
    const uint32_t key = sae::cuda::scramble(sae::cuda::rounding_seed(1, 0));
    int64_t step = 2;
    while ((sae::cuda::scramble(sae::cuda::rounding_seed(step, 0)) ^ key) >= kCount) {
        step++;
    }
    int64_t common = 0;
    for (int64_t element = 0; element < kCount; element++) {
        common += static_cast<int64_t>(first.count(sae::cuda::random_bits(sae::cuda::rounding_seed(step, 0), element)));
    }
    const double expected = static_cast<double>(kCount) * kCount / 4294967296.0;
    expect(std::abs(static_cast<double>(common) - expected) < 8 * std::sqrt(expected),
           "numbers that steps 1 and " + std::to_string(step) + " have in common", static_cast<double>(common));
}

} // namespace

int main() {
    check_correlations();
    check_sets();
    if (!failed) {
        std::printf("rounding noise: independent\n");
    }
    return failed ? 1 : 0;
}
