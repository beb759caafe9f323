/* Kernel for cores with the DSP extension; see ern_dsp.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_dsp.h"

typedef uint32_t __attribute__((may_alias)) word_of_any;

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_dsp_rows(y, l->stream, x, &l->rows);
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
