/*
 * kernels.h: the inner loops, once per instruction set. Callers pick a table at run time and call through it;
 * all of it is single-threaded, allocates nothing and works on any address (rows need not be aligned) and any length.
 */
#ifndef SAE_CPU_KERNELS_H
#define SAE_CPU_KERNELS_H

#include <cstdint>

namespace sae::cpu {

/* A candidate of the top-k as one integer: larger value first, then lower index. Values are > 0, so their bits order as
 * the values do, and the key is positive as int64_t. */
inline uint64_t make_key(float value, int64_t index) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return static_cast<uint64_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(index));
}
inline float key_value(uint64_t key) {
    const uint32_t bits = static_cast<uint32_t>(key >> 32);
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
inline int32_t key_index(uint64_t key) { return static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(key)); }

/* c [m, n] (+)= a [m, k] x b [k, n]; element (i, j) of a at a[i * a_row + j * a_column], of b likewise. */
struct Gemm {
    int64_t m, n, k;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t b_row, b_column;
    float *c;
    int64_t c_row;
    bool accumulate;
};

struct Dots {
    double gg, gw, ww;
};

/* Adam with its bias corrections folded in: m += keep1 (g - m), v = beta2 v + keep2 g^2, keep = 1 - beta,
 * w -= rate m / (sqrt(v) root + eps). */
struct AdamStep {
    float keep1, beta2, keep2, rate, root, eps;
};

/* Which latents fire: z = p + bias above a threshold >= 0; with which value: z, or with gain p gain + magnitude if > 0. */
struct Firing {
    const float *bias, *threshold;
    const float *gain, *magnitude; /* null: not gated */
};

struct Kernels {
    const char *isa;
    /* the built-in product; scratch: gemm_scratch floats */
    void (*gemm)(const Gemm &task, float *scratch);
    int64_t gemm_scratch;

    bool (*all_finite)(const float *x, int64_t n);
    /* out = x - shift (shift may be null); returns |out|^2 */
    double (*centre)(const float *x, const float *shift, float *out, int64_t n);
    /* sums += x - origin, squares += (x - origin)^2, element by element */
    void (*moments)(const float *x, const float *origin, double *sums, double *squares, int64_t n);

    /* Values known as p[i] +- scale * margin[i]; margin may be null: known exactly. Maxima are over the lower ends;
     * collected values have an upper end >= least, which goes into the key. */
    /* groups[i] = max(groups[i], p[i], p[i + count], ...); count is a multiple of 16 */
    void (*group_maxima)(const float *p, const float *margin, float scale, int64_t n, float *groups, int64_t count);
    /* a value <= the k-th largest of n floats >= 0 and within 2^-15 of it; n is a multiple of 16 */
    float (*kth_largest)(const float *values, int64_t n, int64_t k);
    /* appends the keys of p[i] >= least, i in [from, n), index base + i, while *count <= room - 16; returns where it
     * stopped (n: done) */
    int64_t (*collect)(const float *p, const float *margin, float scale, int64_t from, int64_t n, float least,
                       int64_t base, uint64_t *keys, int64_t *count, int64_t room);
    /* of products p[i] of latents base + i: those that fire, with their values; returns how many. index and value have
     * 16 elements more than that */
    int64_t (*fired)(const float *p, int64_t n, const Firing &rule, int64_t base, int32_t *index, float *value);
    /* those that may fire if p[i] is known up to scale * margin[base + i]; values are of no use */
    int64_t (*may_fire)(const float *p, const float *margin, float scale, int64_t n, const Firing &rule, int64_t base,
                        int32_t *index, float *value);
    /* the first of the largest of n values if it is > above; -1 if none is */
    int64_t (*peak)(const float *p, int64_t n, float above);
    /* the largest min(n, k) of n distinct keys into sorted, descending; n padded with zeros to a multiple of 8 */
    void (*rank)(const uint64_t *keys, int64_t n, uint64_t *sorted, int64_t k);

    /* out += sum_i coefficient_i row(index_i), rows of length n at base + index * n */
    void (*gather)(float *out, int64_t n, const float *base, const int32_t *index, const float *coefficient,
                   int64_t count);
    /* out_i = <g, row(index_i)> */
    void (*dots)(const float *g, int64_t n, const float *base, const int32_t *index, float *out, int64_t count);
    /* y += a x */
    void (*axpy)(float *y, float a, const float *x, int64_t n);
    /* e -= x; returns |e|^2 */
    double (*subtract)(float *e, const float *x, int64_t n);
    /* e = a e + b r (r may be null); returns |e|^2 */
    double (*combine)(float *e, float a, const float *r, float b, int64_t n);
    /* <g, g>, <g, w>, <w, w> */
    Dots (*dot3)(const float *g, const float *w, int64_t n);
    /* one Adam step with the gradient clip * g - along * w', where w' = scale * w is also the starting point of the
     * step; returns |w|^2 after it */
    double (*adam)(float *w, float *m, float *v, const float *g, float clip, float scale, float along, int64_t n,
                   const AdamStep &step);
    void (*scale)(float *w, float factor, int64_t n);
};

namespace portable {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

} // namespace sae::cpu
#endif
