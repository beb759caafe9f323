/* Kernel for rv32im(c); see ern_rv32.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_rv32.h"

#define ROWS 8

/* acc * m << (33 - k), upper half: acc * m >> (k - 1); half of it, rounded up, is the row. */
static inline int16_t scaled(int32_t acc, uint32_t scale)
{
    const int32_t y = ((int32_t)(((int64_t)acc * (int32_t)scale) >> 32) + 1) >> 1;
    return (int16_t)ern_fast_sat16(y);
}

#define COLUMN(c, value)                                                                                              \
    do {                                                                                                              \
        const int32_t v = (value);                                                                                    \
        a0 += w[8 * (c)] * v;                                                                                         \
        a1 += w[8 * (c) + 1] * v;                                                                                     \
        a2 += w[8 * (c) + 2] * v;                                                                                     \
        a3 += w[8 * (c) + 3] * v;                                                                                     \
        a4 += w[8 * (c) + 4] * v;                                                                                     \
        a5 += w[8 * (c) + 5] * v;                                                                                     \
        a6 += w[8 * (c) + 6] * v;                                                                                     \
        a7 += w[8 * (c) + 7] * v;                                                                                     \
        __asm__ __volatile__("" : : : "memory"); /* the next column's loads stay behind, or registers run out */      \
    } while (0)

/* One block: eight rows from its stream, to y; returns where the stream goes on. */
static const uint32_t *block(const uint32_t *stream, const int16_t *x, uint32_t groups, int16_t *y)
{
    const int8_t *w = (const int8_t *)(const void *)(stream + ROWS);
    const int16_t *const end = x + 4u * groups;
    int32_t a0 = (int32_t)stream[0], a1 = (int32_t)stream[1], a2 = (int32_t)stream[2], a3 = (int32_t)stream[3];
    int32_t a4 = (int32_t)stream[4], a5 = (int32_t)stream[5], a6 = (int32_t)stream[6], a7 = (int32_t)stream[7];
    do {
        COLUMN(0, x[0]);
        COLUMN(1, x[1]);
        COLUMN(2, x[2]);
        COLUMN(3, x[3]);
        w += 4 * ROWS;
        x += 4;
    } while (x != end);
    stream = (const uint32_t *)(const void *)w;
    y[0] = scaled(a0, stream[0]);
    y[1] = scaled(a1, stream[1]);
    y[2] = scaled(a2, stream[2]);
    y[3] = scaled(a3, stream[3]);
    y[4] = scaled(a4, stream[4]);
    y[5] = scaled(a5, stream[5]);
    y[6] = scaled(a6, stream[6]);
    y[7] = scaled(a7, stream[7]);
    return stream + ROWS;
}

/* The rows of the last block, of which there may be fewer than eight. */
static void last_block(const uint32_t *stream, const int16_t *x, const ern_fast_linear *l, int16_t *y)
{
    int16_t out[ROWS];
    uint32_t i;
    (void)block(stream, x, l->groups, out);
    for (i = 0; i < l->rows % ROWS; i++) {
        y[i] = out[i];
    }
}

static void product(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    const uint32_t *stream = l->stream;
    uint32_t row;
    for (row = 0; row + ROWS <= l->rows; row += ROWS) {
        stream = block(stream, x, l->groups, y + row);
    }
    if (row < l->rows) {
        last_block(stream, x, l, y + row);
    }
}

#define ERN_FAST_ROW product
#include "ern_fast_by_row.h"
