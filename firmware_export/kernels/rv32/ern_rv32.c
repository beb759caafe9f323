/* Kernel for rv32im(c); see ern_rv32.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_rv32.h"

#define ROWS 8

/* acc * m << (33 - k), upper half: acc * m >> (k - 1); half of it, rounded up, is the row. */
static inline int16_t scaled(int32_t acc, uint32_t scale)
{
    const int32_t y = ((int32_t)(((int64_t)acc * (int32_t)scale) >> 32) + 1) >> 1;
    return (int16_t)ern_fast_sat16(y);
}

#define BEGUN(a, stream)                                                                                              \
    int32_t a##0 = (int32_t)stream[0], a##1 = (int32_t)stream[1], a##2 = (int32_t)stream[2], a##3 = (int32_t)stream[3];\
    int32_t a##4 = (int32_t)stream[4], a##5 = (int32_t)stream[5], a##6 = (int32_t)stream[6], a##7 = (int32_t)stream[7]

#define ENDED(y, a, stream)                                                                                           \
    do {                                                                                                              \
        y[0] = scaled(a##0, stream[0]);                                                                               \
        y[1] = scaled(a##1, stream[1]);                                                                               \
        y[2] = scaled(a##2, stream[2]);                                                                               \
        y[3] = scaled(a##3, stream[3]);                                                                               \
        y[4] = scaled(a##4, stream[4]);                                                                               \
        y[5] = scaled(a##5, stream[5]);                                                                               \
        y[6] = scaled(a##6, stream[6]);                                                                               \
        y[7] = scaled(a##7, stream[7]);                                                                               \
    } while (0)

/* A column of eight rows, each given to ADD. */
#define COLUMN(c, ADD)                                                                                                \
    do {                                                                                                              \
        const int32_t v = x[c];                                                                                       \
        ADD(0, w[8 * (c)]);                                                                                           \
        ADD(1, w[8 * (c) + 1]);                                                                                       \
        ADD(2, w[8 * (c) + 2]);                                                                                       \
        ADD(3, w[8 * (c) + 3]);                                                                                       \
        ADD(4, w[8 * (c) + 4]);                                                                                       \
        ADD(5, w[8 * (c) + 5]);                                                                                       \
        ADD(6, w[8 * (c) + 6]);                                                                                       \
        ADD(7, w[8 * (c) + 7]);                                                                                       \
        __asm__ __volatile__("" : : : "memory"); /* the next column's loads stay behind, or registers run out */      \
    } while (0)

#define TO_ONE(row, weight) a##row += (weight) * v
#define TO_BOTH(row, weight)                                                                                          \
    do {                                                                                                              \
        const int32_t k = weight;                                                                                     \
        a##row += k * v;                                                                                              \
        b##row += k * u;                                                                                              \
        __asm__ __volatile__("" : : : "memory"); /* and so do those of the next row */                                \
    } while (0)

#define COLUMN_OF_BOTH(c)                                                                                             \
    do {                                                                                                              \
        const int32_t u = next[c];                                                                                    \
        COLUMN(c, TO_BOTH);                                                                                           \
    } while (0)

/* One block: eight rows from its stream, to y; returns where the stream goes on. */
static const uint32_t *block(const uint32_t *stream, const int16_t *x, uint32_t groups, int16_t *y)
{
    const int8_t *w = (const int8_t *)(const void *)(stream + ROWS);
    const int16_t *const end = x + 4u * groups;
    BEGUN(a, stream);
    do {
        COLUMN(0, TO_ONE);
        COLUMN(1, TO_ONE);
        COLUMN(2, TO_ONE);
        COLUMN(3, TO_ONE);
        w += 4 * ROWS;
        x += 4;
    } while (x != end);
    stream = (const uint32_t *)(const void *)w;
    ENDED(y, a, stream);
    return stream + ROWS;
}

/* The same for two rows of x: a weight is loaded once for both. */
static const uint32_t *two_blocks(const uint32_t *stream, const int16_t *x, const ern_fast_linear *l, int16_t *y, int16_t *z)
{
    const int8_t *w = (const int8_t *)(const void *)(stream + ROWS);
    const int16_t *next = x + l->step, *const end = x + 4u * l->groups;
    BEGUN(a, stream);
    BEGUN(b, stream);
    do {
        COLUMN_OF_BOTH(0);
        COLUMN_OF_BOTH(1);
        COLUMN_OF_BOTH(2);
        COLUMN_OF_BOTH(3);
        w += 4 * ROWS;
        x += 4;
        next += 4;
    } while (x != end);
    stream = (const uint32_t *)(const void *)w;
    ENDED(y, a, stream);
    ENDED(z, b, stream);
    return stream + ROWS;
}

/* As many of a block's rows as there are. */
static void put_last(int16_t *y, const int16_t *out, uint32_t rows)
{
    for (; rows > 0u; rows--) {
        *y++ = *out++;
    }
}

static void product(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    const uint32_t *stream = l->stream;
    uint32_t left;
    for (left = l->rows; left >= ROWS; left -= ROWS, y += ROWS) {
        stream = block(stream, x, l->groups, y);
    }
    if (left > 0u) {
        int16_t out[ROWS];
        (void)block(stream, x, l->groups, out);
        put_last(y, out, left);
    }
}

static void two_products(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    const uint32_t *stream = l->stream;
    int16_t *z = y + l->rows;
    uint32_t left;
    for (left = l->rows; left >= ROWS; left -= ROWS, y += ROWS, z += ROWS) {
        stream = two_blocks(stream, x, l, y, z);
    }
    if (left > 0u) {
        int16_t out[2 * ROWS];
        (void)two_blocks(stream, x, l, out, out + ROWS);
        put_last(y, out, left);
        put_last(z, out + ROWS, left);
    }
}

#define ERN_FAST_ROW product
#define ERN_FAST_TWO_ROWS two_products
#include "ern_fast_by_row.h"
