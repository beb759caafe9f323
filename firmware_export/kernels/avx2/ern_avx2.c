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

/* Sixteen rows of one row of x, to y, `left` of them if there are fewer; returns where the stream goes on. */
static inline const int8_t *block(int16_t *y, const int8_t *w, const int16_t *x, uint32_t groups, int32_t left, __m256i least)
{
    __m256i low = vector(w), high = vector(w + 32), rows;
    for (w += 64; groups > 0u; groups--, x += 4, w += 128) {
        const __m256i first = pair(x), second = pair(x + 2);
        low = add_products(low, w, first);
        high = add_products(high, w + 32, first);
        low = add_products(low, w + 64, second);
        high = add_products(high, w + 96, second);
    }
    rows = _mm256_packs_epi32(scaled(low, vector(w)), scaled(high, vector(w + 32)));
    rows = _mm256_max_epi16(_mm256_permute4x64_epi64(rows, 0xD8), least);
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
    return w + 64;
}

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    const __m256i least = _mm256_set1_epi16(l->relu != 0u ? 0 : -32768);
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        const int8_t *w = (const int8_t *)(const void *)l->stream;
        int32_t row;
        for (row = 0; row < l->rows; row += ROWS) {
            w = block(y + row, w, x, l->groups, l->rows - row, least);
        }
    }
}

void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)(x[i] * 256);
    }
}
