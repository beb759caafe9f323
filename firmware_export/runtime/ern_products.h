/* The matrix products, once for each width of their operands.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Included by ern_net.c only, several times, with
 *
 *   ERN_OPERAND       int16_t or int8_t
 *   ERN_NAMED(name)   the function's name with its suffix, _s16 or _s8
 */

/* Every row of the matrix, columns begin .. begin+n-1, times x[n]. Two rows at a time, so that each entry of x is loaded
 * half as often, and four entries at a time; the order of summation is free, since no partial sum can overflow. */
static void ERN_NAMED(products)(int16_t *y, const ern_linear *l, uint32_t begin, uint32_t n, const ERN_OPERAND *x)
{
    const int8_t *w = l->weight + begin;
    uint32_t row = 0, i;
    for (; row + 2u <= l->rows; row += 2u, w += 2u * l->columns) {
        const int8_t *v = w + l->columns;
        int32_t a = l->bias[row], b = l->bias[row + 1u];
        for (i = 0; i + 4u <= n; i += 4u) {
            a = ERN_PROVE32((ern_wide)a + w[i] * x[i]);
            b = ERN_PROVE32((ern_wide)b + v[i] * x[i]);
            a = ERN_PROVE32((ern_wide)a + w[i + 1u] * x[i + 1u]);
            b = ERN_PROVE32((ern_wide)b + v[i + 1u] * x[i + 1u]);
            a = ERN_PROVE32((ern_wide)a + w[i + 2u] * x[i + 2u]);
            b = ERN_PROVE32((ern_wide)b + v[i + 2u] * x[i + 2u]);
            a = ERN_PROVE32((ern_wide)a + w[i + 3u] * x[i + 3u]);
            b = ERN_PROVE32((ern_wide)b + v[i + 3u] * x[i + 3u]);
        }
        for (; i < n; i++) {
            a = ERN_PROVE32((ern_wide)a + w[i] * x[i]);
            b = ERN_PROVE32((ern_wide)b + v[i] * x[i]);
        }
        y[row] = finish_row(l, row, a);
        y[row + 1u] = finish_row(l, row + 1u, b);
    }
    if (row < l->rows) {
        int32_t a = l->bias[row];
        for (i = 0; i < n; i++) {
            a = ERN_PROVE32((ern_wide)a + w[i] * x[i]);
        }
        y[row] = finish_row(l, row, a);
    }
    ERN_COUNT(mac, (uint64_t)l->rows * n);
}

void ERN_NAMED(ern_matvec)(int16_t *y, const ern_linear *l, const ERN_OPERAND *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->columns, y += l->rows) {
        ERN_NAMED(products)(y, l, 0, l->columns, x);
    }
}

void ERN_NAMED(ern_depthwise)(int16_t *y, const ern_linear *l, const ERN_OPERAND *window, uint32_t channels)
{
    const uint32_t each = l->rows / channels;
    const int8_t *w = l->weight;
    uint32_t row, k;
    for (row = 0; row < l->rows; row++, w += l->columns) {
        const ERN_OPERAND *x = window + row / each;
        int32_t acc = l->bias[row];
        for (k = 0; k < l->columns; k++) {
            acc = ERN_PROVE32((ern_wide)acc + w[k] * x[k * channels]);
        }
        y[row] = finish_row(l, row, acc);
    }
    ERN_COUNT(mac, (uint64_t)l->rows * l->columns);
}

void ERN_NAMED(ern_row_conv)(int16_t *y, const ern_linear *l, const ERN_OPERAND *x, uint32_t n, uint32_t channels)
{
    uint32_t at, begin, end;
    for (at = 0; at < n; at++, y += l->rows) {
        inside(l, at, n, channels, &begin, &end);
        ERN_NAMED(products)(y, l, begin, end - begin, x);
        x += begin == 0u ? channels : 0u;
    }
}
