/* Included by the C file of a kernel that has a product of one row of x: ERN_FAST_ROW(y, l, x), without the floor at 0.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ERN_FAST_ROW(y, l, x);
        if (l->relu != 0u) {
            ern_fast_floor(y, l->rows);
        }
    }
}

void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    for (; n > 0u; n--) {
        *y++ = (int16_t)(*x++ * 256);
    }
}
