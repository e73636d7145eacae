/* kernels.inl: the inner loops of kernels.h, written once against simd.h. Included by kernels_<isa>.cpp only. */
#include "kernels.h"
#include "simd.h"

namespace sae::cpu::SAE_CPU_ISA {
namespace {

struct Whole {
    Vec operator()(const float *p) const { return load(p); }
    void put(float *p, Vec a) const { store(p, a); }
};

struct Part {
    int64_t n;
    Vec operator()(const float *p) const { return load_first(p, n); } /* the other lanes are 0 */
    void put(float *p, Vec a) const { store_first(p, a, n); }
};

/* body(i, lanes) for whole vectors, then for the remainder. */
template <typename Body>
inline void each_vector(int64_t n, Body &&body) {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
        body(i, Whole{});
    }
    if (i < n) {
        body(i, Part{n - i});
    }
}

bool all_finite(const float *x, int64_t n) {
    Vec sums[4] = {zero(), zero(), zero(), zero()}; /* 0 * x is NaN for an infinite x too */
    int64_t i = 0;
    for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
        for (int u = 0; u < 4; u++) {
            sums[u] = fma(load(x + i + u * kWidth), zero(), sums[u]);
        }
    }
    each_vector(n - i, [&](int64_t at, auto lanes) { sums[0] = fma(lanes(x + i + at), zero(), sums[0]); });
    return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3]))) == 0;
}

double centre(const float *x, const float *shift, float *out, int64_t n) {
    Vec squares = zero();
    each_vector(n, [&](int64_t i, auto lanes) {
        const Vec centred = shift == nullptr ? lanes(x + i) : sub(lanes(x + i), lanes(shift + i));
        squares = fma(centred, centred, squares);
        lanes.put(out + i, centred);
    });
    return static_cast<double>(sum(squares));
}

void moments(const float *x, const float *origin, double *sums, double *squares, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const double centred = static_cast<double>(x[i]) - static_cast<double>(origin[i]);
        sums[i] += centred;
        squares[i] += centred * centred;
    }
}

void group_maxima(const float *p, const float *margin, float scale, int64_t n, float *groups, int64_t count) {
    const Vec down = all(-scale);
    for (int64_t start = 0; start < n; start += count) {
        each_vector(n - start < count ? n - start : count, [&](int64_t i, auto lanes) {
            Vec value = lanes(p + start + i);
            if (margin != nullptr) {
                value = fma(down, lanes(margin + start + i), value);
            }
            lanes.put(groups + i, max_or_second(value, lanes(groups + i)));
        });
    }
}

float kth_largest(const float *values, int64_t n, int64_t k) {
    constexpr int kLowestBit = 8; /* 15 bits of mantissa */
    float found = 0;
    uint32_t bits = 0;
    for (int bit = 30; bit >= kLowestBit; bit--) {
        const uint32_t tried = bits | 1u << bit;
        float least;
        __builtin_memcpy(&least, &tried, sizeof least);
        int64_t reached = 0;
        for (int64_t i = 0; i < n; i += kWidth) {
            reached += __builtin_popcount(at_least(load(values + i), all(least)));
        }
        if (reached >= k) {
            bits = tried;
            found = least;
        }
    }
    return found;
}

int64_t collect(const float *p, const float *margin, float scale, int64_t from, int64_t n, float least, int64_t base,
                uint64_t *keys, int64_t *count, int64_t room) {
    const Vec bound = all(least);
    const Vec up = all(scale);
    int64_t used = *count;
    int64_t i = from;
    for (; i < n && used + kWidth <= room; i += kWidth) {
        const int64_t left = n - i;
        Vec values = left >= kWidth ? load(p + i) : load_first(p + i, left);
        if (margin != nullptr) {
            values = fma(up, left >= kWidth ? load(margin + i) : load_first(margin + i, left), values);
        }
        uint32_t mask = at_least(values, bound);
        if (mask == 0) {
            continue;
        }
        float each[kWidth];
        store(each, values);
        for (; mask != 0; mask &= mask - 1) {
            const int lane = __builtin_ctz(mask);
            keys[used++] = make_key(each[lane], base + i + lane);
        }
    }
    *count = used;
    return i < n ? i : n;
}

int64_t fired(const float *p, int64_t n, const Firing &rule, int64_t base, int32_t *index, float *value) {
    int64_t used = 0;
    each_vector(n, [&](int64_t i, auto lanes) {
        const int64_t latent = base + i;
        const Vec product = lanes(p + i);
        Vec z = add(product, lanes(rule.bias + latent));
        uint32_t mask = above(z, lanes(rule.threshold + latent)); /* never of a lane past the end: 0 > 0 */
        if (rule.gain != nullptr) {
            z = fma(product, lanes(rule.gain + latent), lanes(rule.magnitude + latent));
            mask &= above(z, zero());
        }
        if (mask != 0) {
            compress(z, mask, static_cast<int32_t>(latent), value + used, index + used);
            used += __builtin_popcount(mask);
        }
    });
    return used;
}

int64_t may_fire(const float *p, const float *margin, float scale, int64_t n, const Firing &rule, int64_t base,
                 int32_t *index, float *value) {
    int64_t used = 0;
    each_vector(n, [&](int64_t i, auto lanes) {
        const int64_t latent = base + i;
        const Vec z = add(lanes(p + i), lanes(rule.bias + latent));
        const Vec upper = fma(all(scale), lanes(margin + latent), z);
        const uint32_t below = at_least(lanes(rule.threshold + latent), upper); /* not if either is NaN */
        const uint32_t mask = ~below & ((1u << kWidth) - 1);
        if (mask != 0) {
            compress(upper, mask, static_cast<int32_t>(latent), value + used, index + used);
            used += __builtin_popcount(mask);
        }
    });
    return used;
}

int64_t peak(const float *p, int64_t n, float above) {
    Vec largest = all(above);
    each_vector(n, [&](int64_t i, auto lanes) { largest = max_or_second(lanes(p + i), largest); });
    float each[kWidth];
    store(each, largest);
    float most = above;
    for (int i = 0; i < kWidth; i++) {
        most = each[i] > most ? each[i] : most;
    }
    for (int64_t i = 0; most > above && i < n; i += kWidth) {
        const int64_t left = n - i;
        const uint32_t mask = at_least(left >= kWidth ? load(p + i) : load_first(p + i, left), all(most));
        if (mask != 0) {
            return i + __builtin_ctz(mask);
        }
    }
    return -1;
}

void rank(const uint64_t *keys, int64_t n, uint64_t *sorted, int64_t k) {
    for (int64_t i = 0; i < n; i++) {
        int place = 0;
        for (int64_t other = 0; other < n; other += kKeys) {
            place += count_greater(keys + other, keys[i]);
        }
        if (place < k) {
            sorted[place] = keys[i];
        }
    }
}

void axpy(float *y, float a, const float *x, int64_t n) {
    const Vec factor = all(a);
    each_vector(n, [&](int64_t i, auto lanes) { lanes.put(y + i, fma(factor, lanes(x + i), lanes(y + i))); });
}

/* Four rows per pass: the sum is loaded and stored a quarter as often, and the hardware sees four long streams. */
void gather(float *out, int64_t n, const float *base, const int32_t *index, const float *coefficient, int64_t count) {
    int64_t at = 0;
    for (; at + 4 <= count; at += 4) {
        const float *rows[4];
        Vec factors[4];
        for (int u = 0; u < 4; u++) {
            rows[u] = base + index[at + u] * n;
            factors[u] = all(coefficient[at + u]);
        }
        each_vector(n, [&](int64_t i, auto lanes) {
            Vec total = lanes(out + i);
            for (int u = 0; u < 4; u++) {
                total = fma(factors[u], lanes(rows[u] + i), total);
            }
            lanes.put(out + i, total);
        });
    }
    for (; at < count; at++) {
        axpy(out, coefficient[at], base + index[at] * n, n);
    }
}

void dots(const float *g, int64_t n, const float *base, const int32_t *index, float *out, int64_t count) {
    int64_t at = 0;
    for (; at + 4 <= count; at += 4) {
        const float *rows[4];
        Vec sums[4];
        for (int u = 0; u < 4; u++) {
            rows[u] = base + index[at + u] * n;
            sums[u] = zero();
        }
        each_vector(n, [&](int64_t i, auto lanes) {
            const Vec with = lanes(g + i);
            for (int u = 0; u < 4; u++) {
                sums[u] = fma(with, lanes(rows[u] + i), sums[u]);
            }
        });
        for (int u = 0; u < 4; u++) {
            out[at + u] = sum(sums[u]);
        }
    }
    for (; at < count; at++) {
        Vec total = zero();
        each_vector(n,
                    [&](int64_t i, auto lanes) { total = fma(lanes(g + i), lanes(base + index[at] * n + i), total); });
        out[at] = sum(total);
    }
}

double subtract(float *e, const float *x, int64_t n) {
    Vec squares = zero();
    each_vector(n, [&](int64_t i, auto lanes) {
        const Vec difference = sub(lanes(e + i), lanes(x + i));
        squares = fma(difference, difference, squares);
        lanes.put(e + i, difference);
    });
    return static_cast<double>(sum(squares));
}

double combine(float *e, float a, const float *r, float b, int64_t n) {
    Vec squares = zero();
    each_vector(n, [&](int64_t i, auto lanes) {
        Vec both = mul(all(a), lanes(e + i));
        if (r != nullptr) {
            both = fma(all(b), lanes(r + i), both);
        }
        squares = fma(both, both, squares);
        lanes.put(e + i, both);
    });
    return static_cast<double>(sum(squares));
}

Dots dot3(const float *g, const float *w, int64_t n) {
    Vec gg = zero();
    Vec gw = zero();
    Vec ww = zero();
    each_vector(n, [&](int64_t i, auto lanes) {
        const Vec a = lanes(g + i);
        const Vec b = lanes(w + i);
        gg = fma(a, a, gg);
        gw = fma(a, b, gw);
        ww = fma(b, b, ww);
    });
    return {static_cast<double>(sum(gg)), static_cast<double>(sum(gw)), static_cast<double>(sum(ww))};
}

double adam(float *w, float *m, float *v, const float *g, float clip, float scale, float along, int64_t n,
            const AdamStep &step) {
    Vec squares = zero();
    each_vector(n, [&](int64_t i, auto lanes) {
        const Vec from = mul(all(scale), lanes(w + i));
        const Vec gradient = sub(mul(all(clip), lanes(g + i)), mul(all(along), from));
        const Vec first = fma(all(step.keep1), sub(gradient, lanes(m + i)), lanes(m + i));
        const Vec second = fma(mul(all(step.keep2), gradient), gradient, mul(all(step.beta2), lanes(v + i)));
        const Vec below = fma(sqrt(second), all(step.root), all(step.eps));
        lanes.put(m + i, first);
        lanes.put(v + i, second);
        lanes.put(w + i, sub(from, div(mul(all(step.rate), first), below)));
        const Vec after = lanes(w + i); /* read back: lanes past the end are 0, whatever 0 / eps gave */
        squares = fma(after, after, squares);
    });
    return static_cast<double>(sum(squares));
}

void scale(float *w, float factor, int64_t n) {
    each_vector(n, [&](int64_t i, auto lanes) { lanes.put(w + i, mul(all(factor), lanes(w + i))); });
}

#include "gemm.inl"

} // namespace

#define SAE_STRING(x) #x
#define SAE_NAME(x) SAE_STRING(x)

const Kernels kernels = {
    SAE_NAME(SAE_CPU_ISA),
    gemm,
    kGemmScratch,
    all_finite,
    centre,
    moments,
    group_maxima,
    kth_largest,
    collect,
    fired,
    may_fire,
    peak,
    rank,
    gather,
    dots,
    axpy,
    subtract,
    combine,
    dot3,
    adam,
    scale,
};

} // namespace sae::cpu::SAE_CPU_ISA
