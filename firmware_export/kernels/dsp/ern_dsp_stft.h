/* What the signal path of cores with the DSP extension does in its own way, with the bits of ern_stft.c, which includes this.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERN_DSP_STFT_H
#define ERN_DSP_STFT_H

#include "ern_dsp_signal.h"

#define ERN_OWN_TRANSFORM /* fft_forward, fft_inverse, reverse_order */
#define ERN_OWN_LOADING   /* load_window */
#define ERN_OWN_BINS      /* split_real, join_real */

/* See ern_dsp_fft.S. */
void ern_dsp_fft_q31(int32_t *z, const int32_t *cosine, uint32_t half);
void ern_dsp_fft_up(int32_t *z, const int32_t *cosine, uint32_t half);

static void fft_forward(int32_t *z, const int32_t *cosine, uint32_t half)
{
    ern_dsp_fft_q31(z, cosine, half);
}

static void fft_inverse(int32_t *z, const int32_t *cosine, uint32_t half)
{
    ern_dsp_fft_up(z, cosine, half);
}

static void reverse_order(int32_t *z, uint32_t n)
{
    const uint32_t step = ern_dsp_step(n);
    int32_t *here = z, *const end = z + 2u * n;
    uint32_t at;
    for (at = 0; here < end; at += step, here += 2) {
        int32_t *const there = ern_dsp_place(z, at);
        if (there > here) {
            const int32_t re = here[0], im = here[1];
            here[0] = there[0];
            here[1] = there[1];
            there[0] = re;
            there[1] = im;
        }
    }
}

/* Samples of history and pcm, tapered, to the places of their numbers read backwards: i + quarter lies behind i. */
static void load_window(const ern_stft *f, int32_t *z, int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->window / 2u, step = ern_dsp_step(half);
    const int16_t *taper = f->taper, *past = history, *fresh = pcm, *const end = taper + half;
    uint32_t at = 0;
    for (; taper < end; taper += 2, past += 2, fresh += 2, at += step) {
        int32_t *const place = ern_dsp_place(z, at);
        const uint32_t old = ern_dsp_two(past), by = ern_dsp_two(taper), new = ern_dsp_two(fresh);
        const uint32_t later = ern_dsp_two(taper + half);
        place[0] = ern_dsp_bottoms(old, by);
        place[1] = ern_dsp_tops(old, by);
        place[2] = ern_dsp_bottoms(new, later);
        place[3] = ern_dsp_tops(new, later);
    }
    ern_dsp_move(history, pcm, half);
}

/* ern_split_bin for a bin z and its mirrored one y at once; the other's factor is v. */
static inline void split_two(int32_t *z, int32_t *y, const int32_t *w, const int32_t *v, uint32_t quarter)
{
    const int32_t yr = y[0] >> 1, yi = y[1] >> 1, zr = z[0] >> 1, zi = z[1] >> 1;
    const int32_t odd_i = yr - zr, odd_r = zi + yi, even_i = zi - yi, even = (zr + yr) >> 1;
    z[0] = ern_dsp_add_high(even, odd_r, w[0]) - ern_dsp_high(odd_i, w[quarter]);
    z[1] = ern_dsp_add_high(ern_dsp_add_high(even_i >> 1, odd_r, w[quarter]), odd_i, w[0]);
    y[0] = ern_dsp_add_high(even, odd_r, v[0]) - ern_dsp_high(-odd_i, v[quarter]);
    y[1] = ern_dsp_add_high(ern_dsp_add_high(-even_i >> 1, odd_r, v[quarter]), -odd_i, v[0]);
}

static void split_real(const ern_stft *f, int32_t *spectrum)
{
    const uint32_t half = f->window / 2u, quarter = half / 2u;
    const int32_t *w = f->cosine + 1, *v = f->cosine + half - 1, z[2] = { spectrum[0], spectrum[1] };
    int32_t *low = spectrum + 2, *high = spectrum + 2u * (half - 1u), middle[2];
    ern_split_bin(spectrum, z, z, f->cosine[0], f->cosine[quarter]);
    for (; low < high; low += 2, high -= 2, w++, v--) {
        split_two(low, high, w, v, quarter);
    }
    middle[0] = low[0];
    middle[1] = low[1];
    ern_split_bin(low, middle, middle, w[0], w[quarter]);
}

/* ern_join_bin, likewise. */
static inline void join_two(int32_t *a, int32_t *b, const int32_t *w, const int32_t *v, uint32_t quarter)
{
    const int32_t sum = a[0] + b[0], odd_r = (a[0] - b[0]) * 2, difference = a[1] - b[1], odd_i = (a[1] + b[1]) * 2;
    a[0] = sum - (ern_dsp_high(odd_i, w[0]) - ern_dsp_high(odd_r, w[quarter]));
    a[1] = ern_dsp_add_high(ern_dsp_add_high(difference, odd_r, w[0]), odd_i, w[quarter]);
    b[0] = sum - (ern_dsp_high(odd_i, v[0]) - ern_dsp_high(-odd_r, v[quarter]));
    b[1] = ern_dsp_add_high(ern_dsp_add_high(-difference, -odd_r, v[0]), odd_i, v[quarter]);
}

static void join_real(const ern_stft *f, int32_t *spectrum)
{
    const uint32_t half = f->window / 2u, quarter = half / 2u;
    const int32_t *w = f->cosine + 1, *v = f->cosine + half - 1;
    const int32_t a[2] = { spectrum[0], spectrum[1] };
    int32_t *low = spectrum + 2, *high = spectrum + 2u * (half - 1u), middle[2];
    ern_join_bin(spectrum, a, spectrum + 2u * half, f->cosine[0], f->cosine[quarter]);
    for (; low < high; low += 2, high -= 2, w++, v--) {
        join_two(low, high, w, v, quarter);
    }
    middle[0] = low[0];
    middle[1] = low[1];
    ern_join_bin(low, middle, middle, w[0], w[quarter]);
}

#endif
