/* Included by the C file of a kernel that has a product of one row of x: ERN_FAST_ROW(y, l, x), without the floor at 0, and may
 * have one of two: ERN_FAST_TWO_ROWS(y, l, x).
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    ERN_FAST_ROW(y, l, x);
    if (l->relu != 0u) {
        ern_fast_floor(y, l->rows);
    }
}

void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
#ifdef ERN_FAST_TWO_ROWS
    for (; n > 1u; n -= 2u, x += 2u * l->step, y += 2u * l->rows) {
        ERN_FAST_TWO_ROWS(y, l, x);
        if (l->relu != 0u) {
            ern_fast_floor(y, 2u * l->rows);
        }
    }
#endif
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_fast_matvec(y, l, x);
    }
}

/* Four at a time: y has room for that, and what lies behind x is read and does not count. */
void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    const uint8_t *byte = (const uint8_t *)x;
    const uint8_t *const end = byte + n;
    for (; byte < end; byte += 4, y += 4) {
        y[0] = (int16_t)(uint16_t)(byte[0] << 8);
        y[1] = (int16_t)(uint16_t)(byte[1] << 8);
        y[2] = (int16_t)(uint16_t)(byte[2] << 8);
        y[3] = (int16_t)(uint16_t)(byte[3] << 8);
    }
}
