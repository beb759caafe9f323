/* The primitives of the quantized net. One function each; edgernn/core/definition.py is the definition.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Outputs come first, then inputs, then counts. All arrays are the caller's; an output must not overlap an input
 * unless it starts at the same address and the function works entry by entry.
 */
#ifndef ERN_NET_H
#define ERN_NET_H

#include <stdint.h>

#define ERN_API_VERSION 2

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix product with a scale a row: y[o] = max(floor, requantize(bias[o] + sum weight[o][i] x[i])). */
typedef struct {
    const int8_t *weight;      /* [rows][columns], in [-127, 127] */
    const int32_t *bias;       /* [rows], at the operand's scale times the row's */
    const int16_t *multiplier; /* [rows], in [16384, 32767] */
    const uint8_t *shift;      /* [rows], in [8, 46] */
    uint16_t rows, columns;
    int16_t floor;             /* 0: ReLU; -32768: none */
} ern_linear;

/* y[n][rows] from x[n][columns]: n rows share the weights. */
void ern_matvec_s16(int16_t *y, const ern_linear *l, const int16_t *x, uint32_t n);
void ern_matvec_s8(int16_t *y, const ern_linear *l, const int8_t *x, uint32_t n);

/* y[n][rows] from x[n][channels]: row i from rows i - K/2 .. i + K/2 of x, K = columns / channels odd, zeros beyond the ends. */
void ern_row_conv_s16(int16_t *y, const ern_linear *l, const int16_t *x, uint32_t n, uint32_t channels);
void ern_row_conv_s8(int16_t *y, const ern_linear *l, const int8_t *x, uint32_t n, uint32_t channels);

/* y[rows] from a window[columns][channels]; rows = channels * multiplier, filter o reads channel o / multiplier. */
void ern_depthwise_s16(int16_t *y, const ern_linear *l, const int16_t *window, uint32_t channels);
void ern_depthwise_s8(int16_t *y, const ern_linear *l, const int8_t *window, uint32_t channels);

/* Entry by entry, n entries of int16. */
void ern_add(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n);
void ern_sub(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n);
void ern_add_relu(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n);
void ern_mul(int16_t *y, const int16_t *a, const int16_t *b, uint32_t shift, uint32_t n);
void ern_sigmoid(int16_t *y, const int16_t *x, uint32_t n);
void ern_tanh(int16_t *y, const int16_t *x, uint32_t n);
void ern_cell_to_preact(int16_t *y, const int16_t *c, uint32_t exponent, uint32_t n);

/* int16 at 2^-b to int8 at 2^(8-b). */
void ern_narrow16(int8_t *y, const int16_t *x, uint32_t n);

/* Copy bytes (memcpy without the C library). */
void ern_copy(void *to, const void *from, uint32_t bytes);

/* Columns begin .. begin+size-1 of x[n][columns], entries of `width` bytes. */
void ern_copy_columns(void *to, const void *x, uint32_t n, uint32_t columns, uint32_t begin, uint32_t size,
                      uint32_t width);

/* The opposite: x[n][size] becomes columns begin .. begin+size-1 of to[n][columns]. */
void ern_put_columns(void *to, const void *x, uint32_t n, uint32_t columns, uint32_t begin, uint32_t size,
                     uint32_t width);

/* CRC-32 (IEEE 802.3, as zlib's) of bytes, continuing from crc; start with 0. */
uint32_t ern_crc32(uint32_t crc, const void *data, uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
