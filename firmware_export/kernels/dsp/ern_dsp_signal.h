/* What both signal paths of cores with the DSP extension are made of. ern_fft.h has the arithmetic in plain C.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERN_DSP_SIGNAL_H
#define ERN_DSP_SIGNAL_H

#include <stdint.h>

/* Two neighbours of an array that need not begin at a word. */
static inline uint32_t ern_dsp_two(const int16_t *x)
{
    uint32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return word;
}

/* Products of the lower and of the upper halves. */
static inline int32_t ern_dsp_bottoms(uint32_t a, uint32_t b)
{
    int32_t y;
    __asm__("smulbb %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

static inline int32_t ern_dsp_tops(uint32_t a, uint32_t b)
{
    int32_t y;
    __asm__("smultt %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

/* ern_mul_wide, alone and added to something. */
static inline int32_t ern_dsp_wide(int32_t a, int32_t w)
{
    int32_t y;
    __asm__("smulwb %0, %1, %2" : "=r"(y) : "r"(a), "r"(w));
    return y;
}

static inline int32_t ern_dsp_add_wide(int32_t to, int32_t a, int32_t w)
{
    int32_t y;
    __asm__("smlawb %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(w), "r"(to));
    return y;
}

/* ern_mul_high, likewise. */
static inline int32_t ern_dsp_high(int32_t a, int32_t w)
{
    int32_t y;
    __asm__("smmul %0, %1, %2" : "=r"(y) : "r"(a), "r"(w));
    return y;
}

static inline int32_t ern_dsp_add_high(int32_t to, int32_t a, int32_t w)
{
    int32_t y;
    __asm__("smmla %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(w), "r"(to));
    return y;
}

/* Numbers 0, 1, .. n-1 of complex entries count in steps of this, ... */
static inline uint32_t ern_dsp_step(uint32_t n)
{
    return 1u << (__builtin_clz(n) - 2);
}

/* ... so that one read backwards is the entry's place in bytes. */
static inline int32_t *ern_dsp_place(int32_t *z, uint32_t at)
{
    uint32_t bytes;
    __asm__("rbit %0, %1" : "=r"(bytes) : "r"(at));
    return (int32_t *)(void *)((unsigned char *)z + bytes);
}

/* n entries forwards; `to` may lie before `from` in one array. */
static inline void ern_dsp_move(int16_t *to, const int16_t *from, uint32_t n)
{
    for (; n >= 4u; n -= 4u, to += 4, from += 4) {
        const uint32_t first = ern_dsp_two(from), second = ern_dsp_two(from + 2);
        __builtin_memcpy(to, &first, sizeof first);
        __builtin_memcpy(to + 2, &second, sizeof second);
    }
    for (; n > 0u; n--) {
        *to++ = *from++;
    }
}

#endif
