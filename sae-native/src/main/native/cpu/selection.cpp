/*
 * selection.cpp: exact top-k of a row in two sweeps over values still in cache.
 *
 * The first sweep keeps the maximum of each of 2k interleaved groups. At least k different latents reach the k-th
 * largest of these maxima, so it is a lower bound on the k-th largest value of the row; in an evenly distributed row
 * 1.4 k values reach it. The second sweep collects those, and a rank by counting sorts them. Uneven rows (many equal
 * values) overflow the list, which is then cut down to its k largest.
 *
 * Ties: keys are distinct and ordered by value, then lower index; a value that equals the k-th of k earlier ones is
 * dropped, since its index is higher. NaN is never selected.
 */
#include "selection.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace sae::cpu {
namespace {

constexpr int64_t kLane = 16;      /* kernels.h: groups are a multiple of this, lists have this much slack */
constexpr int64_t kCounting = 128; /* up to here n^2 / 8 comparisons beat a sort */

int64_t round_up(int64_t n) { return (n + kLane - 1) / kLane * kLane; }

} // namespace

Selection::Selection(const Kernels &isa, int64_t most, int64_t of) : kernels(&isa), k(most), latents(of) {
    const int64_t wanted = round_up(std::max<int64_t>(4 * kLane, 2 * k));
    groups.resize(2 * wanted <= latents ? wanted : 0);
    const int64_t most_kept = round_up(std::min(latents, std::max<int64_t>(8 * k, 16 * kLane)));
    candidates.resize(most_kept + k + 2 * kLane);
    sorted.resize(k);
    reset();
}

void Selection::reset() {
    std::fill(groups.begin(), groups.end(), 0.0f);
    count = 0;
    bound = 0;
    least = std::numeric_limits<float>::denorm_min(); /* ReLU: only positive values */
}

int64_t Selection::room() const { return static_cast<int64_t>(candidates.size()) - kLane; } /* rank() over-reads */

void Selection::raise_least(const float *p, const float *margin, float scale, int64_t n) {
    if (!groups.empty()) {
        const int64_t size = static_cast<int64_t>(groups.size());
        kernels->group_maxima(p, margin, scale, n, groups.data(), size);
        bound = std::max(bound, kernels->kth_largest(groups.data(), size, k));
        least = std::max(least, bound);
    }
}

void Selection::add(const float *p, int64_t n, int64_t base) {
    raise_least(p, nullptr, 0, n);
    int64_t at = 0;
    while ((at = kernels->collect(p, nullptr, 0, at, n, least, base, candidates.data(), &count, room())) < n) {
        prune();
    }
}

bool Selection::add_screened(const float *p, const float *margin, float scale, int64_t n, int64_t base) {
    raise_least(p, margin, scale, n);
    int64_t at = 0;
    while ((at = kernels->collect(p, margin, scale, at, n, least, base, candidates.data(), &count, room())) < n) {
        const int64_t before = count;
        drop_below_bound();
        if (count == before) {
            return false;
        }
    }
    return true;
}

void Selection::drop_below_bound() {
    const auto below = [this](uint64_t key) { return key_value(key) < bound; };
    const auto begin = candidates.begin();
    count = std::remove_if(begin, begin + count, below) - begin;
}

const std::vector<int32_t> &Selection::contenders() {
    drop_below_bound();
    remaining.resize(count);
    std::transform(candidates.begin(), candidates.begin() + count, remaining.begin(), key_index);
    return remaining;
}

void Selection::settle(const float *values) {
    count = 0;
    for (size_t i = 0; i < remaining.size(); i++) {
        if (values[i] > 0) {
            candidates[count++] = make_key(values[i], remaining[i]);
        }
    }
}

void Selection::prune() {
    if (count <= k) {
        return;
    }
    const auto begin = candidates.begin();
    std::nth_element(begin, begin + (k - 1), begin + count, std::greater<>());
    count = k;
    least = std::nextafter(key_value(candidates[k - 1]), std::numeric_limits<float>::infinity());
}

int64_t Selection::finish() {
    prune();
    return count;
}

int64_t Selection::finish_sorted() {
    drop_below_bound(); /* the first blocks let more through, while the bound was lower */
    if (count > kCounting) {
        prune();
        std::sort(candidates.begin(), candidates.begin() + count, std::greater<>());
        return count;
    }
    std::fill_n(candidates.begin() + count, kLane, uint64_t{0});
    kernels->rank(candidates.data(), count, sorted.data(), k);
    count = std::min(count, k);
    std::copy_n(sorted.begin(), count, candidates.begin());
    return count;
}

} // namespace sae::cpu
