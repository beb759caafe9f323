/* Kernel for Cortex-M0 and M0+; see ern_m0.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_m0.h"

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_m0_rows(y, l, x);
        if (l->relu != 0u) {
            ern_fast_floor(y, l->rows);
        }
    }
}

void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)(x[i] * 256);
    }
}
