/* Kernel for x86-64 with AVX2: sixteen rows by two columns at a time. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of sixteen rows sixteen biases, for each two columns two int16 a row, sixteen scales m << (32 - k).
 * Entries of fused loops are sixteen at a time. In 32 bits they are two vectors, as the unpacking of halves orders them.
 */
#ifndef ERN_AVX2_H
#define ERN_AVX2_H

#if !defined(__AVX2__)
#error "this C is for x86-64 with AVX2 (--kernel avx2): export it with another kernel, or none, for your core"
#endif

#include <immintrin.h>

#include "ern_fast.h"

#define ERN_FAST_LANES 16
typedef __m256i ern_fast_lanes;

/* Entries from p on, of which `left` are there. */
static inline ern_fast_lanes ern_fast_get(const int16_t *p, uint32_t left)
{
    int16_t some[16] = { 0 };
    if (left >= 16u) {
        return _mm256_loadu_si256((const __m256i *)(const void *)p);
    }
    __builtin_memcpy(some, p, 2u * left);
    return _mm256_loadu_si256((const __m256i *)(const void *)some);
}

static inline void ern_fast_put_int16(int16_t *p, uint32_t left, ern_fast_lanes x)
{
    int16_t some[16];
    if (left >= 16u) {
        _mm256_storeu_si256((__m256i *)(void *)p, x);
        return;
    }
    _mm256_storeu_si256((__m256i *)(void *)some, x);
    __builtin_memcpy(p, some, 2u * left);
}

/* What was narrowed, as int8 operands are widened. */
static inline void ern_fast_put_wide(int16_t *p, uint32_t left, ern_fast_lanes x)
{
    ern_fast_put_int16(p, left, _mm256_slli_epi16(x, 8));
}

static inline void ern_fast_put_int8(int8_t *p, uint32_t left, ern_fast_lanes x)
{
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(x, x), 0x08);
    int8_t some[16];
    _mm_storeu_si128((__m128i *)(void *)some, _mm256_castsi256_si128(bytes));
    __builtin_memcpy(p, some, left < 16u ? left : 16u);
}

static inline ern_fast_lanes ern_fast_add(ern_fast_lanes a, ern_fast_lanes b)
{
    return _mm256_adds_epi16(a, b);
}

static inline ern_fast_lanes ern_fast_sub(ern_fast_lanes a, ern_fast_lanes b)
{
    return _mm256_subs_epi16(a, b);
}

static inline ern_fast_lanes ern_fast_add_relu(ern_fast_lanes a, ern_fast_lanes b)
{
    return _mm256_max_epi16(_mm256_adds_epi16(a, b), _mm256_setzero_si256());
}

static inline __m256i ern_avx2_scaled(__m256i product, int32_t shift)
{
    const __m256i t = _mm256_srai_epi32(_mm256_add_epi32(product, _mm256_set1_epi32(1)), 1);
    const __m256i up = _mm256_add_epi32(_mm256_srai_epi32(t, 31), _mm256_set1_epi32((int32_t)1 << (shift - 1)));
    return _mm256_srai_epi32(_mm256_add_epi32(t, up), shift);
}

static inline ern_fast_lanes ern_fast_mul(ern_fast_lanes a, ern_fast_lanes b, int32_t shift)
{
    const __m256i low = _mm256_mullo_epi16(a, b), high = _mm256_mulhi_epi16(a, b);
    return _mm256_packs_epi32(ern_avx2_scaled(_mm256_unpacklo_epi16(low, high), shift),
                              ern_avx2_scaled(_mm256_unpackhi_epi16(low, high), shift));
}

/* The words of the curve at four indices of 16 bits. Each by itself: a gather took four times as long (Ice Lake). */
static inline __m128i ern_avx2_words(int64_t four)
{
    const uint64_t i = (uint64_t)four;
    __m128i words = _mm_cvtsi32_si128((int32_t)ern_fast_curve[i & 0xFFFFu]);
    words = _mm_insert_epi32(words, (int32_t)ern_fast_curve[(i >> 16) & 0xFFFFu], 1);
    words = _mm_insert_epi32(words, (int32_t)ern_fast_curve[(i >> 32) & 0xFFFFu], 2);
    return _mm_insert_epi32(words, (int32_t)ern_fast_curve[i >> 48], 3);
}

/* The curve at eight indices: base + slope part / 2^bits, in 2^-bits, where `parts` holds 2^bits and part; bases are counted from
 * 2^16 down, as they all are 2^15 or more. */
static inline __m256i ern_avx2_curve(int64_t first, int64_t second, __m256i parts)
{
    const __m256i words = _mm256_castsi128_si256(ern_avx2_words(first));
    return _mm256_madd_epi16(_mm256_inserti128_si256(words, ern_avx2_words(second), 1), parts);
}

/* The curve at sixteen indices, `part` of 2^bits parts of a step beyond each: plus `offset`, rounded to 2^shift. */
static inline __m256i ern_avx2_between(__m256i index, __m256i part, int32_t bits, int32_t offset, int32_t shift)
{
    const __m256i step = _mm256_set1_epi16((int16_t)(1 << bits)), half = _mm256_set1_epi32(offset + (1 << (shift - 1)));
    const __m256i low = ern_avx2_curve(_mm256_extract_epi64(index, 0), _mm256_extract_epi64(index, 2),
                                       _mm256_unpacklo_epi16(step, part));
    const __m256i high = ern_avx2_curve(_mm256_extract_epi64(index, 1), _mm256_extract_epi64(index, 3),
                                        _mm256_unpackhi_epi16(step, part));
    return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(low, half), shift),
                              _mm256_srai_epi32(_mm256_add_epi32(high, half), shift));
}

/* Half of the remainder of 9 a to a step of the curve, rounded up where x is not negative. */
static inline __m256i ern_avx2_part(__m256i a, __m256i sign, int32_t most)
{
    const __m256i below = _mm256_and_si256(_mm256_mullo_epi16(a, _mm256_set1_epi16(9)), _mm256_set1_epi16((int16_t)most));
    return _mm256_srli_epi16(_mm256_sub_epi16(_mm256_add_epi16(below, sign), _mm256_set1_epi16(-1)), 1);
}

/* |v| = (9 |x| + (x >= 0)) / 2: its step of the curve is 9 |x| >> 10, and what is left of it may be a whole step. Beyond 29013
 * the curve is as there. Where x is negative the result is 1 - that of |x|. */
static inline ern_fast_lanes ern_fast_sigmoid(ern_fast_lanes x)
{
    const __m256i sign = _mm256_srai_epi16(x, 15);
    const __m256i a = _mm256_min_epu16(_mm256_abs_epi16(x), _mm256_set1_epi16(29013));
    const __m256i part = ern_avx2_part(a, sign, 0x3FF), index = _mm256_mulhi_epi16(a, _mm256_set1_epi16(9 * 64));
    const __m256i y = ern_avx2_between(index, part, 9, 1 << 25, 10);
    return _mm256_blendv_epi8(y, _mm256_sub_epi16(_mm256_set1_epi16(-32768), y), sign);
}

/* Likewise, with steps of 2^9, up to 14506; where x is negative it is - that of |x|. */
static inline ern_fast_lanes ern_fast_tanh(ern_fast_lanes x)
{
    const __m256i sign = _mm256_srai_epi16(x, 15);
    const __m256i a = _mm256_min_epu16(_mm256_abs_epi16(x), _mm256_set1_epi16(14506));
    const __m256i part = ern_avx2_part(a, sign, 0x1FF), index = _mm256_mulhi_epi16(a, _mm256_set1_epi16(9 * 128));
    const __m256i y = ern_avx2_between(index, part, 8, 1 << 23, 8);
    return _mm256_sub_epi16(_mm256_xor_si256(y, sign), sign);
}

/* floor((scale c + 3) / 6): what is divided is made positive by a multiple of 6; u / 6 = u * 0xAAAAAAAB >> 34. */
static inline __m256i ern_avx2_sixth(__m256i scaled)
{
    const __m256i u = _mm256_add_epi32(scaled, _mm256_set1_epi32(3 + 6 * (1 << 26)));
    const __m256i sixth = _mm256_set1_epi64x(0xAAAAAAABll);
    const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(u, sixth), 32), odd = _mm256_mul_epu32(_mm256_srli_epi64(u, 32), sixth);
    return _mm256_sub_epi32(_mm256_srli_epi32(_mm256_blend_epi32(even, odd, 0xAA), 2), _mm256_set1_epi32(1 << 26));
}

static inline ern_fast_lanes ern_fast_cell_to_preact(ern_fast_lanes c, int32_t exponent)
{
    const __m256i scale = _mm256_set1_epi16((int16_t)(1 << (14 - exponent)));
    const __m256i low = _mm256_mullo_epi16(c, scale), high = _mm256_mulhi_epi16(c, scale);
    return _mm256_packs_epi32(ern_avx2_sixth(_mm256_unpacklo_epi16(low, high)), ern_avx2_sixth(_mm256_unpackhi_epi16(low, high)));
}

/* (x + 129 - 2 (x < 0)) >> 8, as the two roundings add up; where the sum saturates the result does. */
static inline ern_fast_lanes ern_fast_narrow(ern_fast_lanes x)
{
    const __m256i sign = _mm256_srai_epi16(x, 15), sum = _mm256_adds_epi16(x, _mm256_set1_epi16(129));
    return _mm256_srai_epi16(_mm256_add_epi16(sum, _mm256_add_epi16(sign, sign)), 8);
}

#endif
