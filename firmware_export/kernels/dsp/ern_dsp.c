/* Kernel for cores with the DSP extension; see ern_dsp.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_dsp.h"

typedef uint32_t __attribute__((may_alias)) word_of_any;

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    ern_dsp_rows(y, l->stream, x, &l->rows);
}

void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_dsp_rows(y, l->stream, x, &l->rows);
    }
}

static inline int32_t add_two(uint32_t w, uint32_t x, int32_t to)
{
    int32_t y;
    __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(w), "r"(x), "r"(to));
    return y;
}

static inline int16_t scaled(int32_t acc, uint32_t scale, uint32_t relu)
{
    int32_t y;
    __asm__("smmulr %0, %1, %2" : "=r"(y) : "r"(acc), "r"(scale));
    return (int16_t)(relu != 0u ? ern_fast_relu(y) : ern_fast_sat16(y));
}

/* Two channels at a time: a word of x is one tap of both, two such words are turned into two taps of each. */
void ern_fast_depthwise(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t taps, uint32_t each)
{
    const word_of_any *channels = (const word_of_any *)(const void *)x;
    const uint32_t step = l->step / 2u, *w = l->stream;
    uint32_t pair, filter, i;
    for (pair = step; pair > 0u; pair--, channels++, y += each) {
        for (filter = each; filter > 0u; filter--, y++) {
            const word_of_any *tap = channels;
            int32_t a = (int32_t)w[0], b = (int32_t)w[1];
            w += 2;
            for (i = taps / 2u; i > 0u; i--, w += 2, tap += 2u * step) {
                const uint32_t first = tap[0], second = tap[step];
                a = add_two(w[0], (first & 0xFFFFu) | (second << 16), a);
                b = add_two(w[1], (first >> 16) | (second & 0xFFFF0000u), b);
            }
            if ((taps & 1u) != 0u) { /* the weights' upper halves are 0 */
                a = add_two(w[0], *tap, a);
                b = add_two(w[1], *tap >> 16, b);
                w += 2;
            }
            y[0] = scaled(a, w[0], l->relu);
            y[each] = scaled(b, w[1], l->relu);
            w += 2;
        }
    }
}

/* Four bytes of a word to the upper bytes of four halves. */
void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    const word_of_any *from = (const word_of_any *)(const void *)x;
    word_of_any *to = (word_of_any *)(void *)y;
    for (n = (n + 3u) / 4u; n > 0u; n--) {
        const uint32_t word = *from++;
        const uint32_t even = (word << 8) & 0xFF00FF00u, odd = word & 0xFF00FF00u;
        *to++ = (even & 0xFFFFu) | (odd << 16);
        *to++ = (even >> 16) | (odd & 0xFFFF0000u);
    }
}
