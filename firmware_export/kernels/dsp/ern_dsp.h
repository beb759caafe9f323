/* Kernel for Cortex-M4, M7 and M33: the DSP extension's products, and entries of fused loops. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_DSP_H
#define ERN_DSP_H

#include "ern_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix product, laid out by the emitter: of each block of four rows four biases, for each four columns one word a row with
 * its bytes in the order 0 2 1 3, four scales m << (32 - k). Filled up with zeros. */
typedef struct {
    const uint32_t *stream;
    uint16_t rows, groups;     /* groups of four columns */
    uint16_t relu, columns;
} ern_fast_linear;

/* y[n][rows] from x[n][columns], x at a word; up to three entries after x are read, and do not count. */
void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n);

/* y[i] = 256 x[i]; x and y at words, n filled up to a multiple of four. */
void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n);

/* One row of x: y[rows] from stream. */
void ern_dsp_rows(int16_t *y, const uint32_t *stream, const int16_t *x, const uint16_t *rows_groups_relu);

/* base | slope << 16 of each step of the sigmoid table */
extern const uint32_t ern_dsp_curve[256];

static inline int32_t ern_dsp_sat16(int32_t x)
{
    int32_t y;
    __asm__("ssat %0, #16, %1" : "=r"(y) : "r"(x));
    return y;
}

static inline int32_t ern_dsp_add(int32_t a, int32_t b)
{
    return ern_dsp_sat16(a + b);
}

static inline int32_t ern_dsp_sub(int32_t a, int32_t b)
{
    return ern_dsp_sat16(a - b);
}

static inline int32_t ern_dsp_add_relu(int32_t a, int32_t b)
{
    int32_t y;
    __asm__("usat %0, #15, %1" : "=r"(y) : "r"(a + b));
    return y;
}

static inline int32_t ern_dsp_mul(int32_t a, int32_t b, int32_t shift)
{
    const int32_t t = (a * b + 1) >> 1;
    return ern_dsp_sat16((t + (t >> 31) + ((int32_t)1 << (shift - 1))) >> shift);
}

/* The curve at |v|, 2^bits steps between entries; beyond its end it is as at its end. */
static inline int32_t ern_dsp_at(int32_t v, uint32_t bits)
{
    const uint32_t most = (255u << bits) - 1u;
    uint32_t a = (uint32_t)(v < 0 ? -v : v), word;
    a = a > most ? most : a;
    word = ern_dsp_curve[a >> bits];
    return (int32_t)((word & 0xFFFFu) << bits) + (int32_t)(a & ((1u << bits) - 1u)) * (int32_t)(word >> 16);
}

static inline int32_t ern_dsp_sigmoid(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1, negative = v >> 31;
    return ((ern_dsp_at(v, 9) ^ negative) + 512 + (negative & (1 << 25))) >> 10;
}

static inline int32_t ern_dsp_tanh(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    return (((ern_dsp_at(v, 8) - (1 << 23)) ^ (v >> 31)) + 128) >> 8;
}

static inline int32_t ern_dsp_cell_to_preact(int32_t c, int32_t exponent)
{
    return ern_dsp_sat16((((int32_t)1 << (14 - exponent)) * c + 3 + 6 * 262144) / 6 - 262144);
}

static inline int32_t ern_dsp_narrow(int32_t x)
{
    const int32_t t = (x + 1) >> 1;
    int32_t y;
    __asm__("ssat %0, #8, %1, asr #7" : "=r"(y) : "r"(t + 64 + (t >> 31)));
    return y;
}

#ifdef __cplusplus
}
#endif

#endif
