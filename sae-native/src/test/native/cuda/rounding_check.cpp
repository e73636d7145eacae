/*
 * rounding_check.cpp: that halves are rounded right (narrow_bits.h), and that the bound of rounding.cuh holds: rows and
 * latents of several kinds are rounded as the kernels do, multiplied as a tensor core that truncates would, and compared
 * with float32's value.
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../../../main/native/cuda/encode/rounding.cuh"

namespace {

using namespace sae::cuda;

int failures = 0;

void expect(bool condition, const std::string &what) {
    if (!condition) {
        failures++;
        if (failures < 20) {
            std::fprintf(stderr, "FAILED %s\n", what.c_str());
        }
    }
}

double half_value(int half) {
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

void check_halves() {
    constexpr int kLargest = 0x7BFF;
    for (int half = 0; half <= 0xFFFF; half++) {
        const int magnitude = half & 0x7FFF;
        if (magnitude > kLargest) {
            continue;
        }
        const std::string name = "half " + std::to_string(half);
        const auto value = static_cast<float>(half_value(half));
        expect(from_half(static_cast<uint16_t>(half)) == value, name + " as float");
        expect(to_half(value) == half, name + " from float");
        if (magnitude == kLargest) {
            continue;
        }
        const auto above = static_cast<float>(half_value(half + 1));
        const float middle = (value + above) / 2; // exact
        expect(to_half(middle) == half + (half & 1), name + ": a tie goes to the even one");
        expect(to_half(std::nextafter(middle, value)) == half, name + ": just below the middle");
        expect(to_half(std::nextafter(middle, above)) == half + 1, name + ": just above the middle");
    }
    for (const float value : {65505.0f, 65520.0f, 1e30f, INFINITY}) {
        expect(to_half(value) == kLargest && to_half(-value) == (0x8000 | kLargest), "beyond the largest half");
    }
    expect(to_half(1e-30f) == 0 && to_half(-1e-30f) == 0x8000, "below the smallest half");
}

enum class Kind { kNormal, kUniform, kOutlier, kSpread, kTiny, kHuge, kPositive, kCount };
constexpr const char *kNames[] = {"normal", "uniform", "outlier", "spread", "tiny", "huge", "positive"};

std::vector<float> draw(std::mt19937_64 &random, Kind kind, int d, bool of_row) {
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    std::vector<float> values(static_cast<size_t>(d));
    for (int i = 0; i < d; i++) {
        double value = kind == Kind::kUniform ? uniform(random) : normal(random);
        switch (kind) {
        case Kind::kOutlier:
            value *= i == 3 ? 1e5 : 1.0;
            break;
        case Kind::kSpread: // what halves cannot hold at either end
            value *= std::ldexp(1.0, static_cast<int>(random() % 90) - 45);
            break;
        case Kind::kTiny:
            value = std::ldexp(value, of_row ? -60 : -30);
            break;
        case Kind::kHuge:
            value = std::ldexp(value, of_row ? 40 : 12);
            break;
        case Kind::kPositive: // partial sums are as large as they can be, and all errors add up
            value = std::abs(value);
            break;
        default:
            break;
        }
        values[static_cast<size_t>(i)] = static_cast<float>(value);
    }
    return values;
}

/* Each step aligns the sum so far and `step` products to the largest of them, and truncates to 24 bits. */
double truncated_sum(const std::vector<double> &products, size_t step) {
    double sum = 0;
    for (size_t first = 0; first < products.size(); first += step) {
        const size_t last = std::min(first + step, products.size());
        double largest = std::abs(sum);
        for (size_t i = first; i < last; i++) {
            largest = std::max(largest, std::abs(products[i]));
        }
        if (largest == 0) {
            continue;
        }
        const double unit = std::ldexp(1.0, std::ilogb(largest) - 23);
        double aligned = std::trunc(sum / unit);
        for (size_t i = first; i < last; i++) {
            aligned += std::trunc(products[i] / unit);
        }
        sum = aligned * unit;
        if (sum != 0) {
            const double result = std::ldexp(1.0, std::ilogb(sum) - 23);
            sum = std::trunc(sum / result) * result;
        }
    }
    return sum;
}

/* In the order of warp_dot.cuh. */
float value_of(const std::vector<float> &x, const std::vector<float> &w) {
    const size_t width = x.size() % 4 == 0 ? 4 : 1;
    float lanes[32];
    for (size_t lane = 0; lane < 32; lane++) {
        float part[4] = {};
        for (size_t i = lane * width; i < x.size(); i += 32 * width) {
            for (size_t at = 0; at < width; at++) {
                part[at] = std::fma(x[i + at], w[i + at], part[at]);
            }
        }
        lanes[lane] = width == 4 ? (part[0] + part[1]) + (part[2] + part[3]) : part[0];
    }
    for (size_t half = 16; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; lane++) {
            lanes[lane] += lanes[lane + half];
        }
    }
    return lanes[0];
}

/* The largest error as a share of the bound. */
template <Narrow kFormat>
double check_bound(Kind of_x, Kind of_w, int d, uint64_t seed) {
    std::mt19937_64 random(seed);
    double worst = 0;
    for (int repetition = 0; repetition < 20; repetition++) {
        const std::vector<float> x = draw(random, of_x, d, true);
        const std::vector<float> w = draw(random, of_w, d, false);
        const float bias = static_cast<float>(repetition - 10);
        float largest = 0;
        for (const float value : x) {
            largest = std::max(largest, std::abs(value));
        }
        Rounding<kFormat> of_row(row_scale<kFormat>(largest));
        Rounding<kFormat> of_latent;
        std::vector<double> products;
        for (size_t i = 0; i < x.size(); i++) {
            const double a = from_narrow<kFormat>(of_row.add(x[i]));
            products.push_back(a * from_narrow<kFormat>(of_latent.add(w[i])));
        }
        const RowBound row = row_bound(of_row, d);
        const LatentBound latent = latent_bound(of_latent, bias);
        const double allowed = margin(row, latent);
        const float value = value_of(x, w) + bias;
        for (const size_t step : {size_t{8}, size_t{16}}) {
            const float score = std::fma(static_cast<float>(truncated_sum(products, step)), row.scale, bias);
            const double error = std::abs(static_cast<double>(score) - value);
            worst = std::max(worst, error / allowed);
            expect(error <= allowed, std::string(kNames[static_cast<int>(of_x)]) + " x, " +
                                         kNames[static_cast<int>(of_w)] + " w, d " + std::to_string(d) + ": error " +
                                         std::to_string(error) + ", bound " + std::to_string(allowed));
        }
    }
    return worst;
}

} // namespace

int main() {
    check_halves();
    for (int of_x = 0; of_x < static_cast<int>(Kind::kCount); of_x++) {
        for (int of_w = 0; of_w < static_cast<int>(Kind::kCount); of_w++) {
            double worst[2] = {};
            for (const int d : {33, 64, 768, 4096}) {
                const auto seed = static_cast<uint64_t>(d * 100 + of_x * 10 + of_w);
                const auto x = static_cast<Kind>(of_x);
                const auto w = static_cast<Kind>(of_w);
                worst[0] = std::max(worst[0], check_bound<Narrow::kHalf>(x, w, d, seed));
                worst[1] = std::max(worst[1], check_bound<Narrow::kBf16>(x, w, d, seed));
            }
            std::printf("%-8s x, %-8s w: at most %.3f of the bound as halves, %.3f as bfloat16\n", kNames[of_x],
                        kNames[of_w], worst[0], worst[1]);
        }
    }
    std::printf(failures == 0 ? "halves and their bound are right\n" : "%d checks failed\n", failures);
    return failures == 0 ? 0 : 1;
}
