/* Kernel for rv32im(c): eight rows at a time, the scale by an upper product. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_RV32_H
#define ERN_RV32_H

#include "ern_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix product, laid out by the emitter: of each block of eight rows eight biases, for each column eight bytes, eight scales
 * m << (33 - k). Filled up with zeros. */
typedef struct {
    const uint32_t *stream;
    uint16_t rows, groups;     /* groups of four columns */
    uint16_t relu, columns;
} ern_fast_linear;

/* y[n][rows] from x[n][columns]; up to three entries after x are read, and do not count. */
void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n);

/* y[i] = 256 x[i] */
void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n);

/* base | slope << 16 of each step of the sigmoid table */
extern const uint32_t ern_rv32_curve[256];

static inline int32_t ern_rv32_sat16(int32_t x)
{
    if ((int32_t)(int16_t)x != x) {
        x = (x >> 31) ^ 32767;
    }
    return x;
}

static inline int32_t ern_rv32_add(int32_t a, int32_t b)
{
    return ern_rv32_sat16(a + b);
}

static inline int32_t ern_rv32_sub(int32_t a, int32_t b)
{
    return ern_rv32_sat16(a - b);
}

static inline int32_t ern_rv32_add_relu(int32_t a, int32_t b)
{
    const int32_t sum = ern_rv32_sat16(a + b);
    return sum & ~(sum >> 31);
}

static inline int32_t ern_rv32_mul(int32_t a, int32_t b, int32_t shift)
{
    const int32_t t = (a * b + 1) >> 1;
    return ern_rv32_sat16((t + (t >> 31) + ((int32_t)1 << (shift - 1))) >> shift);
}

/* The curve at |v|, 2^bits steps between entries; beyond its end it is as at its end. */
static inline int32_t ern_rv32_at(int32_t v, uint32_t bits)
{
    const uint32_t most = (255u << bits) - 1u;
    uint32_t a = (uint32_t)((v ^ (v >> 31)) - (v >> 31)), word;
    a = a > most ? most : a;
    word = ern_rv32_curve[a >> bits];
    return (int32_t)((word & 0xFFFFu) << bits) + (int32_t)(a & ((1u << bits) - 1u)) * (int32_t)(word >> 16);
}

static inline int32_t ern_rv32_sigmoid(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1, negative = v >> 31;
    return ((ern_rv32_at(v, 9) ^ negative) + 512 + (negative & (1 << 25))) >> 10;
}

static inline int32_t ern_rv32_tanh(int32_t x)
{
    const int32_t v = (9 * x + 1) >> 1;
    return (((ern_rv32_at(v, 8) - (1 << 23)) ^ (v >> 31)) + 128) >> 8;
}

static inline int32_t ern_rv32_cell_to_preact(int32_t c, int32_t exponent)
{
    return ern_rv32_sat16((((int32_t)1 << (14 - exponent)) * c + 3 + 6 * 262144) / 6 - 262144);
}

static inline int32_t ern_rv32_narrow(int32_t x)
{
    const int32_t t = (x + 1) >> 1, y = (t + 64 + (t >> 31)) >> 7;
    return y == 128 ? 127 : y; /* only the largest x rounds beyond */
}

#ifdef __cplusplus
}
#endif

#endif
