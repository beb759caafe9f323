/* What the front end of cores with the DSP extension does in its own way, with the bits of ern_frontend.c, which includes this.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#ifndef ERN_DSP_FRONTEND_H
#define ERN_DSP_FRONTEND_H

#include "ern_dsp_signal.h"

#define ERN_OWN_LOADING   /* load_window, keep_history */
#define ERN_OWN_TRANSFORM /* fft */
#define ERN_OWN_SLOPES    /* slopes, first_slope, sum_slope */

/* See ern_dsp_fft.S. */
void ern_dsp_fft_q15(int32_t *z, const int16_t *cosine, uint32_t half);

/* Pairs of samples times window, each to the place of its number `at` read backwards; returns the next number. */
static uint32_t put_pairs(int32_t *work, const int16_t *x, const int16_t *hann, uint32_t pairs, uint32_t at, uint32_t step)
{
    for (; pairs > 0u; pairs--, x += 2, hann += 2, at += step) {
        int32_t *const z = ern_dsp_place(work, at);
        const uint32_t both = ern_dsp_two(x), by = ern_dsp_two(hann);
        z[0] = ern_dsp_bottoms(both, by);
        z[1] = ern_dsp_tops(both, by);
    }
    return at;
}

static void load_window(const ern_frontend *f, int32_t *work, const int16_t *history, const int16_t *pcm)
{
    const uint32_t past = (uint32_t)f->window - f->hop, step = ern_dsp_step(f->fft / 2u);
    const int16_t *hann = f->hann + (past & ~1u);
    uint32_t fresh = f->hop, at = put_pairs(work, history, f->hann, past / 2u, 0, step);
    int32_t *z;
    if ((past & 1u) != 0u) { /* a pair that lies in both */
        z = ern_dsp_place(work, at);
        z[0] = history[past - 1u] * hann[0];
        z[1] = *pcm++ * hann[1];
        at += step;
        hann += 2;
        fresh--;
    }
    at = put_pairs(work, pcm, hann, fresh / 2u, at, step);
    if ((fresh & 1u) != 0u) { /* half a pair at the end */
        z = ern_dsp_place(work, at);
        z[0] = pcm[fresh - 1u] * hann[fresh - 1u];
        z[1] = 0;
        at += step;
    }
    for (fresh = ((uint32_t)f->fft - f->window) / 2u; fresh > 0u; fresh--, at += step) {
        z = ern_dsp_place(work, at);
        z[0] = 0;
        z[1] = 0;
    }
}

static void keep_history(const ern_frontend *f, int16_t *history, const int16_t *pcm)
{
    const uint32_t past = (uint32_t)f->window - f->hop, kept = past > f->hop ? past - f->hop : 0u;
    ern_dsp_move(history, history + f->hop, kept);
    ern_dsp_move(history + kept, pcm + (f->hop - (past - kept)), past - kept);
}

static void fft(int32_t *z, const int16_t *cosine, uint32_t half)
{
    ern_dsp_fft_q15(z, cosine, half);
}

/* The slopes of the mel bands, one after another; ern_dsp_bins.S knows the places. */
typedef struct {
    const int32_t *low, *high; /* the next bin and the mirrored one */
    const int16_t *cosine;     /* their factor's real part; bytes from the entry after it to the imaginary part: */
    uint32_t quarter;
    const uint16_t *rise, *end; /* what the upper band gets of 4096 parts, up to where */
    uint64_t whole, upper;
} slopes;

/* Adds the bins up to the end of rise to the sums. */
void ern_dsp_bins(slopes *s);

static void sum_slope(const ern_frontend *f, slopes *s, uint32_t end)
{
    s->end = f->mel_rise + (end - f->mel_start[0]);
    ern_dsp_bins(s);
}

static void first_slope(const ern_frontend *f, slopes *s, const int32_t *z)
{
    const uint32_t half = f->fft / 2u, bin = f->mel_start[0];
    s->low = z + 2u * bin;
    s->high = z + 2u * ((half - bin) & (half - 1u));
    s->cosine = f->cosine + bin;
    s->quarter = half - 2u;
    s->rise = f->mel_rise;
    s->whole = 0;
    s->upper = 0;
    if (bin == 0u && f->mel_start[1] > 0u) { /* its own mirror; the next one's is the last */
        sum_slope(f, s, 1);
        s->high = z + 2u * (half - 1u);
    }
}

#endif
