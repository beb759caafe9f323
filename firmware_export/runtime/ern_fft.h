/* The integer FFT that both signal paths are made of; edgernn/signal/fft.py is the definition.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Included by ern_frontend.c and ern_stft.c only, which have defined before:
 *
 *   ERN_TWIDDLE     type of a table entry cos(2 pi k / (2 half)), k = 0 .. 3/2 half - 1: int16_t in Q15, int32_t in Q31
 *   ERN_TIMES       operand times table entry, halved: ern_mul_wide or ern_mul_high
 *
 * The halving is what keeps a butterfly in 32 bits going forward; going back it is undone by doubling.
 */
#ifndef ERN_FFT_H
#define ERN_FFT_H

#include "ern_math.h"

/* Radix-2 butterfly a +- w b, halved. */
static inline void ern_butterfly_down(int32_t *a, int32_t *b, ERN_TWIDDLE wr, ERN_TWIDDLE wi)
{
    const int32_t tr = ERN_PROVE32((ern_wide)ERN_TIMES(b[0], wr) - ERN_TIMES(b[1], wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ERN_TIMES(b[0], wi) + ERN_TIMES(b[1], wr));
    const int32_t ar = a[0] >> 1, ai = a[1] >> 1;
    ERN_COUNT(butterfly, 1u);
    a[0] = ERN_PROVE32((ern_wide)ar + tr);
    a[1] = ERN_PROVE32((ern_wide)ai + ti);
    b[0] = ERN_PROVE32((ern_wide)ar - tr);
    b[1] = ERN_PROVE32((ern_wide)ai - ti);
}

/* Radix-2 butterfly a +- conj(w) b. */
static inline void ern_butterfly_up(int32_t *a, int32_t *b, ERN_TWIDDLE wr, ERN_TWIDDLE wi)
{
    const int32_t br = ERN_PROVE32((ern_wide)b[0] * 2), bi = ERN_PROVE32((ern_wide)b[1] * 2);
    const int32_t tr = ERN_PROVE32((ern_wide)ERN_TIMES(br, wr) + ERN_TIMES(bi, wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ERN_TIMES(bi, wr) - ERN_TIMES(br, wi));
    const int32_t ar = a[0], ai = a[1];
    ERN_COUNT(butterfly, 1u);
    a[0] = ERN_PROVE32((ern_wide)ar + tr);
    a[1] = ERN_PROVE32((ern_wide)ai + ti);
    b[0] = ERN_PROVE32((ern_wide)ar - tr);
    b[1] = ERN_PROVE32((ern_wide)ai - ti);
}

/* Complex FFT in place, z[2 * half], input in bit-reversed order: one stage of butterflies after another. */
#define ERN_FFT_STAGES(butterfly)                                                                       \
    const uint32_t quarter = half / 2u;                                                                 \
    const int32_t *const end = z + 2u * half;                                                           \
    uint32_t span, k;                                                                                   \
    for (span = 1; span < half; span *= 2u) {                                                           \
        for (k = 0; k < span; k++) {                                                                    \
            const uint32_t turn = k * (half / span);                                                    \
            const ERN_TWIDDLE wr = cosine[turn], wi = cosine[turn + quarter];                           \
            int32_t *a = z + 2u * k;                                                                    \
            do {                                                                                        \
                butterfly(a, a + 2u * span, wr, wi);                                                    \
                a += 4u * span;                                                                         \
            } while (a < end);                                                                          \
        }                                                                                               \
    }

/* Every stage halves: scaled by 1/half. */
static inline void ern_fft_forward(int32_t *z, const ERN_TWIDDLE *cosine, uint32_t half)
{
    ERN_FFT_STAGES(ern_butterfly_down)
}

/* The inverse, unscaled. */
static inline void ern_fft_inverse(int32_t *z, const ERN_TWIDDLE *cosine, uint32_t half)
{
    ERN_FFT_STAGES(ern_butterfly_up)
}

/* One bin of the real signal whose even and odd samples were transformed together: z its own bin, y the mirrored one. */
static inline void ern_split_bin(int32_t x[2], const int32_t z[2], const int32_t y[2], ERN_TWIDDLE wr, ERN_TWIDDLE wi)
{
    const int32_t zr = z[0] >> 1, zi = z[1] >> 1, yr = y[0] >> 1, yi = y[1] >> 1;
    const int32_t even_r = ERN_PROVE32((ern_wide)zr + yr), even_i = ERN_PROVE32((ern_wide)zi - yi);
    const int32_t odd_r = ERN_PROVE32((ern_wide)zi + yi), odd_i = ERN_PROVE32((ern_wide)yr - zr);
    x[0] = ERN_PROVE32((ern_wide)(even_r >> 1) + ERN_TIMES(odd_r, wr) - ERN_TIMES(odd_i, wi));
    x[1] = ERN_PROVE32((ern_wide)(even_i >> 1) + ERN_TIMES(odd_r, wi) + ERN_TIMES(odd_i, wr));
}

/* The opposite: bin a and its mirrored one b of a real signal -> the packed transform's bin, doubled. */
static inline void ern_join_bin(int32_t z[2], const int32_t a[2], const int32_t b[2], ERN_TWIDDLE wr, ERN_TWIDDLE wi)
{
    const int32_t odd_r = ERN_PROVE32(((ern_wide)a[0] - b[0]) * 2), odd_i = ERN_PROVE32(((ern_wide)a[1] + b[1]) * 2);
    const int32_t tr = ERN_PROVE32((ern_wide)ERN_TIMES(odd_r, wr) + ERN_TIMES(odd_i, wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ERN_TIMES(odd_i, wr) - ERN_TIMES(odd_r, wi));
    z[0] = ERN_PROVE32((ern_wide)a[0] + b[0] - ti);
    z[1] = ERN_PROVE32((ern_wide)a[1] - b[1] + tr);
}

/* |x|^2 >> ERN_POWER_SHIFT. */
static inline uint64_t ern_bin_power(const int32_t x[2])
{
    return (uint64_t)((int64_t)x[0] * x[0] + (int64_t)x[1] * x[1]) >> ERN_POWER_SHIFT;
}

#endif
