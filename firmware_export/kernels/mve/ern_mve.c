/* Kernel for Cortex-M55 with MVE; see ern_mve.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_mve.h"

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    ern_mve_rows16(y, l, x);
    if (l->relu != 0u) {
        ern_fast_floor(y, l->rows);
    }
}

void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_fast_matvec(y, l, x);
    }
}

void ern_fast_matvec8(int16_t *y, const ern_fast_linear *l, const int8_t *x)
{
    ern_mve_rows8(y, l, x);
    if (l->relu != 0u) {
        ern_fast_floor(y, l->rows);
    }
}

void ern_fast_matvec8_rows(int16_t *y, const ern_fast_linear *l, const int8_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_fast_matvec8(y, l, x);
    }
}
