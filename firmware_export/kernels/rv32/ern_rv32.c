/* Kernel for rv32im(c); see ern_rv32.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * The table is that of ern_net.c (TFLite's, see NOTICE) with the slopes beside it. */
#include "ern_rv32.h"

const uint32_t ern_rv32_curve[256] = {
    0x02AB8000, 0x02AA82AB, 0x02A88555, 0x02A887FD, 0x02A48AA5, 0x02A28D49, 0x029E8FEB, 0x029B9289,
    0x02959524, 0x029197B9, 0x028B9A4A, 0x02859CD5, 0x027E9F5A, 0x0278A1D8, 0x0270A450, 0x0268A6C0,
    0x0260A928, 0x0257AB88, 0x024FADDF, 0x0245B02E, 0x023CB273, 0x0232B4AF, 0x0228B6E1, 0x021EB909,
    0x0214BB27, 0x0209BD3B, 0x01FFBF44, 0x01F4C143, 0x01E9C337, 0x01DEC520, 0x01D3C6FE, 0x01C8C8D1,
    0x01BECA99, 0x01B2CC57, 0x01A8CE09, 0x019CCFB1, 0x0192D14D, 0x0187D2DF, 0x017DD466, 0x0172D5E3,
    0x0168D755, 0x015DD8BD, 0x0154DA1A, 0x0149DB6E, 0x0140DCB7, 0x0136DDF7, 0x012CDF2D, 0x0123E059,
    0x011BE17C, 0x0111E297, 0x0108E3A8, 0x0100E4B0, 0x00F8E5B0, 0x00F0E6A8, 0x00E7E798, 0x00E0E87F,
    0x00D8E95F, 0x00D1EA37, 0x00CAEB08, 0x00C3EBD2, 0x00BCEC95, 0x00B6ED51, 0x00AFEE07, 0x00A9EEB6,
    0x00A2EF5F, 0x009EF001, 0x0097F09F, 0x0092F136, 0x008CF1C8, 0x0088F254, 0x0082F2DC, 0x007EF35E,
    0x0079F3DC, 0x0075F455, 0x0070F4CA, 0x006CF53A, 0x0068F5A6, 0x0064F60E, 0x0060F672, 0x005DF6D2,
    0x0059F72F, 0x0056F788, 0x0052F7DE, 0x004FF830, 0x004CF87F, 0x004AF8CB, 0x0046F915, 0x0044F95B,
    0x0041F99F, 0x003EF9E0, 0x003CFA1E, 0x003AFA5A, 0x0038FA94, 0x0035FACC, 0x0033FB01, 0x0031FB34,
    0x0030FB65, 0x002DFB95, 0x002CFBC2, 0x002AFBEE, 0x0028FC18, 0x0026FC40, 0x0026FC66, 0x0023FC8C,
    0x0022FCAF, 0x0021FCD1, 0x0020FCF2, 0x001EFD12, 0x001DFD30, 0x001CFD4D, 0x001BFD69, 0x001AFD84,
    0x0018FD9E, 0x0018FDB6, 0x0017FDCE, 0x0016FDE5, 0x0014FDFB, 0x0015FE0F, 0x0013FE24, 0x0012FE37,
    0x0012FE49, 0x0011FE5B, 0x0011FE6C, 0x000FFE7D, 0x000FFE8C, 0x000FFE9B, 0x000EFEAA, 0x000DFEB8,
    0x000DFEC5, 0x000CFED2, 0x000CFEDE, 0x000BFEEA, 0x000BFEF5, 0x000BFF00, 0x000AFF0B, 0x0009FF15,
    0x0009FF1E, 0x0009FF27, 0x0009FF30, 0x0008FF39, 0x0007FF41, 0x0008FF48, 0x0007FF50, 0x0007FF57,
    0x0007FF5E, 0x0006FF65, 0x0006FF6B, 0x0006FF71, 0x0005FF77, 0x0006FF7C, 0x0005FF82, 0x0005FF87,
    0x0005FF8C, 0x0004FF91, 0x0004FF95, 0x0005FF99, 0x0004FF9E, 0x0003FFA2, 0x0004FFA5, 0x0004FFA9,
    0x0003FFAD, 0x0003FFB0, 0x0003FFB3, 0x0003FFB6, 0x0003FFB9, 0x0003FFBC, 0x0003FFBF, 0x0002FFC2,
    0x0003FFC4, 0x0002FFC7, 0x0002FFC9, 0x0002FFCB, 0x0003FFCD, 0x0001FFD0, 0x0002FFD1, 0x0002FFD3,
    0x0002FFD5, 0x0002FFD7, 0x0001FFD9, 0x0002FFDA, 0x0001FFDC, 0x0002FFDD, 0x0001FFDF, 0x0001FFE0,
    0x0002FFE1, 0x0001FFE3, 0x0001FFE4, 0x0001FFE5, 0x0001FFE6, 0x0001FFE7, 0x0001FFE8, 0x0001FFE9,
    0x0001FFEA, 0x0001FFEB, 0x0001FFEC, 0x0000FFED, 0x0001FFED, 0x0001FFEE, 0x0001FFEF, 0x0000FFF0,
    0x0001FFF0, 0x0001FFF1, 0x0000FFF2, 0x0001FFF2, 0x0000FFF3, 0x0001FFF3, 0x0000FFF4, 0x0001FFF4,
    0x0000FFF5, 0x0001FFF5, 0x0000FFF6, 0x0000FFF6, 0x0001FFF6, 0x0000FFF7, 0x0001FFF7, 0x0000FFF8,
    0x0000FFF8, 0x0001FFF8, 0x0000FFF9, 0x0000FFF9, 0x0000FFF9, 0x0001FFF9, 0x0000FFFA, 0x0000FFFA,
    0x0000FFFA, 0x0001FFFA, 0x0000FFFB, 0x0000FFFB, 0x0000FFFB, 0x0000FFFB, 0x0001FFFB, 0x0000FFFC,
    0x0000FFFC, 0x0000FFFC, 0x0000FFFC, 0x0000FFFC, 0x0001FFFC, 0x0000FFFD, 0x0000FFFD, 0x0000FFFD,
    0x0000FFFD, 0x0000FFFD, 0x0000FFFD, 0x0000FFFD, 0x0001FFFD, 0x0000FFFE, 0x0000FFFE, 0x0000FFFE,
    0x0000FFFE, 0x0000FFFE, 0x0000FFFE, 0x0000FFFE, 0x0000FFFE, 0x0000FFFE, 0x0001FFFE, 0x0000FFFF,
};

#define ROWS 8

/* acc * m << (33 - k), upper half: acc * m >> (k - 1); half of it, rounded up, is the row. */
static inline int16_t scaled(int32_t acc, uint32_t scale)
{
    const int32_t y = ((int32_t)(((int64_t)acc * (int32_t)scale) >> 32) + 1) >> 1;
    return (int16_t)ern_rv32_sat16(y);
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

static void relu(int16_t *y, uint32_t n)
{
    for (; n > 0u; n--, y++) {
        *y = (int16_t)(*y & ~(*y >> 15));
    }
}

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->columns, y += l->rows) {
        const uint32_t *stream = l->stream;
        uint32_t row;
        for (row = 0; row + ROWS <= l->rows; row += ROWS) {
            stream = block(stream, x, l->groups, y + row);
        }
        if (row < l->rows) {
            last_block(stream, x, l, y + row);
        }
        if (l->relu != 0u) {
            relu(y, l->rows);
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
