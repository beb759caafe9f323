/* Audio front end; see ern_frontend.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"
#include "ern_log.h"

#define ERN_TWIDDLE int16_t
#define ERN_TIMES ern_mul_wide
#include "ern_fft.h"

#define MEL_ONE 4096u

/* A kernel's front end is this file with functions of ERN_OWN in place of some here. */
#ifdef ERN_OWN
#include ERN_OWN
#endif

static void put_feature(const ern_frontend *f, void *out, uint32_t band, int16_t log_mel)
{
    const int16_t value = ern_normalize(log_mel, f->offset[band], f->gain[band], f->shift, f->bits);
    if (f->bits == 8u) {
        ((int8_t *)out)[band] = (int8_t)value;
    } else {
        ((int16_t *)out)[band] = value;
    }
}

#ifndef ERN_OWN_LOADING
/* n samples times window into every second place of work, fft/2 complex numbers (even, odd) in bit-reversed order; the next
 * sample's number goes in and out. */
static uint32_t put_samples(const ern_frontend *f, int32_t *work, const int16_t *x, uint32_t n, uint32_t first, uint32_t *at)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        const uint32_t j = first + i;
        work[2u * *at + (j & 1u)] = (int32_t)x[i] * f->hann[j];
        if ((j & 1u) != 0u) {
            *at = ern_next_reversed(*at, f->fft / 2u);
        }
    }
    return first + n;
}

static void load_window(const ern_frontend *f, int32_t *work, const int16_t *history, const int16_t *pcm)
{
    uint32_t at = 0, j = put_samples(f, work, history, (uint32_t)f->window - f->hop, 0, &at);
    j = put_samples(f, work, pcm, f->hop, j, &at);
    for (; j < f->fft; j++) {
        work[2u * at + (j & 1u)] = 0;
        if ((j & 1u) != 0u) {
            at = ern_next_reversed(at, f->fft / 2u);
        }
    }
}

static void keep_history(const ern_frontend *f, int16_t *history, const int16_t *pcm)
{
    const uint32_t past = (uint32_t)f->window - f->hop;
    uint32_t i = 0;
    for (; i + f->hop < past; i++) {
        history[i] = history[i + f->hop];
    }
    for (; i < past; i++) {
        history[i] = pcm[f->hop - past + i];
    }
}
#endif

#ifndef ERN_OWN_SLOPES
/* Power of bin k of the real signal whose even and odd samples were transformed together. */
static uint64_t bin_power(const ern_frontend *f, const int32_t *z, uint32_t k)
{
    const uint32_t half = f->fft / 2u, mirror = (half - k) & (half - 1u);
    int32_t x[2];
    ern_split_bin(x, z + 2u * k, z + 2u * mirror, f->cosine[k], f->cosine[k + half / 2u]);
    return ern_bin_power(x);
}

/* The slopes of the mel bands, one after another: the next bin, what it gives of 4096 parts to the upper band, and the sums. */
typedef struct {
    const int32_t *z;
    const uint16_t *rise;
    uint32_t bin;
    uint64_t whole, upper;
} slopes;

static void first_slope(const ern_frontend *f, slopes *s, const int32_t *z)
{
    s->z = z;
    s->rise = f->mel_rise;
    s->bin = f->mel_start[0];
    s->whole = 0;
    s->upper = 0;
}

/* Adds the power of the bins before `end` to the whole, and what the upper band gets of it. */
static void sum_slope(const ern_frontend *f, slopes *s, uint32_t end)
{
    for (; s->bin < end; s->bin++) {
        const uint64_t power = bin_power(f, s->z, s->bin);
        s->whole += power;
        s->upper += power * *s->rise++;
    }
}
#endif

/* One band's feature, or with affine 0 its log2 energy in Q9, to its place in out. */
static void put_band(const ern_frontend *f, void *out, uint32_t band, uint64_t energy, int affine)
{
    const int16_t value = ern_log2_q9(energy);
    if (affine) {
        put_feature(f, out, band, value);
    } else {
        ((int16_t *)out)[band] = value;
    }
}

/* Bands complete one after another: a bin between two centres gives `up` of 4096 parts of its power to the upper band and the
 * rest to the lower one. */
static void mel_bands(const ern_frontend *f, void *out, const int32_t *z, int affine)
{
    const uint64_t least = (uint64_t)1 << f->floor_log2;
    uint64_t lower = 0;
    uint32_t slope;
    slopes s;
    first_slope(f, &s, z);
    for (slope = 0; slope <= f->bands; slope++) {
        sum_slope(f, &s, f->mel_start[slope + 1u]);
        if (slope > 0u) {
            put_band(f, out, slope - 1u, lower + s.whole * MEL_ONE - s.upper, affine);
        }
        lower = s.upper + least;
        s.whole = 0;
        s.upper = 0;
    }
}

#ifndef ERN_OWN_TRANSFORM
static ERN_ALONE void fft(int32_t *z, const int16_t *cosine, uint32_t half)
{
    ern_fft_forward(z, cosine, half);
}
#endif

static void transform(const ern_frontend *f, int16_t *history, const int16_t *pcm, int32_t *work)
{
    load_window(f, work, history, pcm);
    keep_history(f, history, pcm);
    fft(work, f->cosine, f->fft / 2u);
}

void ern_frontend_step(const ern_frontend *f, void *out, int16_t *history, const int16_t *pcm, int32_t *work)
{
    transform(f, history, pcm, work);
    mel_bands(f, out, work, 1);
}

void ern_frontend_log_mel(const ern_frontend *f, void *out, int16_t *history, const int16_t *pcm, int32_t *work)
{
    transform(f, history, pcm, work);
    mel_bands(f, out, work, 0);
}

void ern_frontend_features(const ern_frontend *f, void *out, const int16_t *log_mel)
{
    uint32_t band;
    for (band = 0; band < f->bands; band++) {
        put_feature(f, out, band, log_mel[band]);
    }
}
