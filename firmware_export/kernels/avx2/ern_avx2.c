/* Kernel for x86-64 with AVX2; see ern_avx2.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_avx2.h"

#include <immintrin.h>

#define ROWS 16

static inline __m256i vector(const int8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Two neighbours of x, in every lane. */
static inline __m256i pair(const int16_t *x)
{
    int32_t both;
    __builtin_memcpy(&both, x, sizeof both);
    return _mm256_set1_epi32(both);
}

static inline __m256i add_products(__m256i sum, const int8_t *w, __m256i x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(vector(w), x));
}

/* acc * m << (32 - k), upper half rounded: even lanes, then odd ones. */
static inline __m256i scaled(__m256i acc, __m256i scale)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 31);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(acc, scale), half);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(acc, 32), _mm256_srli_epi64(scale, 32)), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

/* Sixteen sums to y, `left` of them if there are fewer. */
static inline void put(int16_t *y, __m256i low, __m256i high, const int8_t *scales, int32_t left, __m256i least)
{
    const __m256i packed = _mm256_packs_epi32(scaled(low, vector(scales)), scaled(high, vector(scales + 32)));
    const __m256i rows = _mm256_max_epi16(_mm256_permute4x64_epi64(packed, 0xD8), least);
    if (left >= ROWS) {
        _mm256_storeu_si256((__m256i *)(void *)y, rows);
    } else {
        int16_t last[ROWS];
        int32_t i;
        _mm256_storeu_si256((__m256i *)(void *)last, rows);
        for (i = 0; i < left; i++) {
            y[i] = last[i];
        }
    }
}

/* Two blocks of a stream for one row of x, from w and v; v may be w where there is no other. Returns where w's weights end. */
static inline const int8_t *sum_blocks(__m256i sum[4], const int8_t *w, const int8_t *v, const int16_t *x, uint32_t groups)
{
    __m256i a = vector(w), b = vector(w + 32), c = vector(v), d = vector(v + 32);
    for (w += 64, v += 64; groups > 0u; groups--, x += 4, w += 128, v += 128) {
        const __m256i first = pair(x), second = pair(x + 2);
        a = add_products(add_products(a, w, first), w + 64, second);
        b = add_products(add_products(b, w + 32, first), w + 96, second);
        c = add_products(add_products(c, v, first), v + 64, second);
        d = add_products(add_products(d, v + 32, first), v + 96, second);
    }
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
    return w;
}

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    const __m256i least = _mm256_set1_epi16(l->relu != 0u ? 0 : -32768);
    const uint32_t block = 128u * (l->groups + 1u); /* bytes */
    const int8_t *w = (const int8_t *)(const void *)l->stream;
    int32_t left;
    for (left = l->rows; left > 0; left -= 2 * ROWS, w += 2u * block, y += 2 * ROWS) {
        __m256i sum[4];
        const int8_t *const end = sum_blocks(sum, w, left > ROWS ? w + block : w, x, l->groups);
        put(y, sum[0], sum[1], end, left, least);
        if (left > ROWS) {
            put(y + ROWS, sum[2], sum[3], end + block, left - ROWS, least);
        }
    }
}

void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_fast_matvec(y, l, x);
    }
}

void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    for (; n >= 16u; n -= 16u, x += 16, y += 16) {
        const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)x));
        _mm256_storeu_si256((__m256i *)(void *)y, _mm256_slli_epi16(wide, 8));
    }
    for (; n > 0u; n--) {
        *y++ = (int16_t)(*x++ * 256);
    }
}
