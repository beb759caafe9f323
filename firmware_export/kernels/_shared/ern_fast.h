/* What the emitter calls of a kernel, whichever it is. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_FAST_H
#define ERN_FAST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix product. stream: of each of the kernel's blocks of rows their biases, weights and scales, as its class lays them out;
 * filled up with zeros. */
typedef struct {
    const uint32_t *stream;
    uint16_t rows, groups;     /* groups of four columns */
    uint16_t relu, columns;
    uint16_t step;             /* entries of x from one row of it to the next */
} ern_fast_linear;

/* y[rows] from a row of x; up to three entries after x are read, and do not count. */
void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x);

/* y[n][rows] from n rows of x; what takes several at a time lies in no firmware that has one. */
void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n);

/* y[rows] from x[taps][step], `each` filters a channel; of the kernels that take depthwise products. */
void ern_fast_depthwise(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t taps, uint32_t each);

/* The same, of the kernels that do not widen. */
void ern_fast_matvec8(int16_t *y, const ern_fast_linear *l, const int8_t *x);
void ern_fast_matvec8_rows(int16_t *y, const ern_fast_linear *l, const int8_t *x, uint32_t n);

/* y[i] = 256 x[i]; x and y at words, n may be filled up to a multiple of four. */
void ern_fast_widen(int16_t *y, const int8_t *x, uint32_t n);

/* y[i] = max(y[i], 0) */
void ern_fast_floor(int16_t *y, uint32_t n);

/* y[i] = 0; of the kernels that do not widen the second. */
void ern_fast_zero(int16_t *y, uint32_t n);
void ern_fast_zero8(int8_t *y, uint32_t n);

/* base | slope << 16 of each step of the sigmoid table */
extern const uint32_t ern_fast_curve[256];

#ifdef __cplusplus
}
#endif

#endif
