/*
 * simd.h: one vector of floats, as wide as this translation unit's instruction set allows: 16 (AVX-512), 8 (AVX2 + FMA)
 * or 4 (the compiler's portable vectors). kernels.inl is written against it and compiled once per instruction set.
 *
 * Everything here is in a separate namespace per instruction set, and neither this file nor kernels.inl uses inline
 * functions of the standard library: the linker keeps one copy of those, and it could be the one with AVX-512 in it.
 */
#ifndef SAE_CPU_ISA
#error "define SAE_CPU_ISA: portable, avx2 or avx512"
#endif

#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace sae::cpu::SAE_CPU_ISA {

#if defined(__AVX512F__)

constexpr int kWidth = 16;

struct Vec {
    __m512 v;
};

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec all(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float *p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_first(const float *p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float *p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(float *p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec max_or_second(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; } /* b where either is NaN */
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline uint32_t at_least(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
inline uint32_t above(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }

/* The lanes in `mask` to value[0 ...], from + their numbers to index[0 ...]; kWidth elements of both are written. */
inline void compress(Vec a, uint32_t mask, int32_t from, float *value, int32_t *index) {
    const __mmask16 lanes = static_cast<__mmask16>(mask);
    const __m512i number = _mm512_add_epi32(_mm512_set1_epi32(from),
                                            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_ps(value, _mm512_maskz_compress_ps(lanes, a.v));
    _mm512_storeu_si512(index, _mm512_maskz_compress_epi32(lanes, number));
}

/* How many of 8 keys are greater. Keys are positive as int64_t. */
constexpr int kKeys = 8;
inline int count_greater(const uint64_t *keys, uint64_t than) {
    return __builtin_popcount(
        _mm512_cmpgt_epu64_mask(_mm512_loadu_si512(keys), _mm512_set1_epi64(static_cast<int64_t>(than))));
}

#elif defined(__AVX2__)

constexpr int kWidth = 8;

struct Vec {
    __m256 v;
};

inline __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec zero() { return {_mm256_setzero_ps()}; }
inline Vec all(float x) { return {_mm256_set1_ps(x)}; }
inline Vec load(const float *p) { return {_mm256_loadu_ps(p)}; }
inline Vec load_first(const float *p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
inline void store(float *p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline void store_first(float *p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first(n), a.v); }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec max_or_second(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline float sum(Vec a) {
    __m128 low = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    low = _mm_add_ps(low, _mm_movehl_ps(low, low));
    return _mm_cvtss_f32(_mm_add_ss(low, _mm_movehdup_ps(low)));
}
inline uint32_t at_least(Vec a, Vec b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)));
}
inline uint32_t above(Vec a, Vec b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)));
}

/* For each mask of 8 lanes their numbers, a byte each, from the lowest byte. */
struct LaneNumbers {
    uint64_t of[256];
};
constexpr LaneNumbers lane_numbers() {
    LaneNumbers numbers = {};
    for (int mask = 0; mask < 256; mask++) {
        int used = 0;
        for (uint64_t lane = 0; lane < 8; lane++) {
            if ((mask >> lane & 1) != 0) {
                numbers.of[mask] |= lane << 8 * used++;
            }
        }
    }
    return numbers;
}
constexpr LaneNumbers kLaneNumbers = lane_numbers();

inline void compress(Vec a, uint32_t mask, int32_t from, float *value, int32_t *index) {
    const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kLaneNumbers.of[mask])));
    _mm256_storeu_ps(value, _mm256_permutevar8x32_ps(a.v, lanes));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(index), _mm256_add_epi32(_mm256_set1_epi32(from), lanes));
}

constexpr int kKeys = 4;
inline int count_greater(const uint64_t *keys, uint64_t than) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(keys));
    const __m256i mask = _mm256_cmpgt_epi64(four, _mm256_set1_epi64x(static_cast<int64_t>(than)));
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(mask))));
}

#else

constexpr int kWidth = 4;

typedef float Four __attribute__((vector_size(16)));

struct Vec {
    Four v;
};

inline Vec zero() { return {Four{0, 0, 0, 0}}; }
inline Vec all(float x) { return {Four{x, x, x, x}}; }
inline Vec load(const float *p) { return {Four{p[0], p[1], p[2], p[3]}}; }
inline Vec load_first(const float *p, int64_t n) {
    return {Four{p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0}};
}
inline void store_first(float *p, Vec a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        p[i] = a.v[i];
    }
}
inline void store(float *p, Vec a) { store_first(p, a, kWidth); }
inline Vec add(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec sub(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec mul(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec div(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec sqrt(Vec a) {
    return {Four{__builtin_sqrtf(a.v[0]), __builtin_sqrtf(a.v[1]), __builtin_sqrtf(a.v[2]), __builtin_sqrtf(a.v[3])}};
}
inline Vec max_or_second(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline float sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline uint32_t at_least(Vec a, Vec b) {
    uint32_t mask = 0;
    for (int i = 0; i < kWidth; i++) {
        mask |= static_cast<uint32_t>(a.v[i] >= b.v[i]) << i;
    }
    return mask;
}
inline uint32_t above(Vec a, Vec b) {
    uint32_t mask = 0;
    for (int i = 0; i < kWidth; i++) {
        mask |= static_cast<uint32_t>(a.v[i] > b.v[i]) << i;
    }
    return mask;
}
inline void compress(Vec a, uint32_t mask, int32_t from, float *value, int32_t *index) {
    for (; mask != 0; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        *value++ = a.v[lane];
        *index++ = from + lane;
    }
}

constexpr int kKeys = 1;
inline int count_greater(const uint64_t *keys, uint64_t than) { return *keys > than; }

#endif

} // namespace sae::cpu::SAE_CPU_ISA
