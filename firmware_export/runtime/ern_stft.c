/* The signal path from sound to sound; see ern_stft.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_stft.h"
#include "ern_log.h"

#define ERN_TWIDDLE int32_t
#define ERN_TIMES ern_mul_high
#include "ern_fft.h"

#define GAIN_SHIFT 5                     /* bits the spectrum gives up so that the inverse transform cannot overflow */
#define OUTPUT_SHIFT (15 - GAIN_SHIFT - 1)

/* A kernel's signal path is this file with functions of ERN_OWN in place of some here. */
#ifdef ERN_OWN
#include ERN_OWN
#endif

#ifndef ERN_OWN_TRANSFORM
static ERN_ALONE void fft_forward(int32_t *z, const int32_t *cosine, uint32_t half)
{
    ern_fft_forward(z, cosine, half);
}

static ERN_ALONE void fft_inverse(int32_t *z, const int32_t *cosine, uint32_t half)
{
    ern_fft_inverse(z, cosine, half);
}

static void reverse_order(int32_t *z, uint32_t n)
{
    uint32_t i, j = 0;
    for (i = 0; i < n; i++, j = ern_next_reversed(j, n)) {
        if (j > i) {
            const int32_t re = z[2u * i], im = z[2u * i + 1u];
            z[2u * i] = z[2u * j];
            z[2u * i + 1u] = z[2u * j + 1u];
            z[2u * j] = re;
            z[2u * j + 1u] = im;
        }
    }
}
#endif

#ifndef ERN_OWN_LOADING
/* History and new samples, tapered, into z as window / 2 complex numbers (even, odd), in bit-reversed order. */
static void load_window(const ern_stft *f, int32_t *z, int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->window / 2u, quarter = half / 2u;
    uint32_t i, at = 0;
    for (i = 0; i < quarter; i++, at = ern_next_reversed(at, half)) {
        int32_t *const past = z + 2u * at, *const fresh = past + 2; /* i + quarter backwards: its highest bit is the lowest */
        past[0] = history[2u * i] * f->taper[2u * i];
        past[1] = history[2u * i + 1u] * f->taper[2u * i + 1u];
        fresh[0] = pcm[2u * i] * f->taper[half + 2u * i];
        fresh[1] = pcm[2u * i + 1u] * f->taper[half + 2u * i + 1u];
    }
    for (i = 0; i < half; i++) {
        history[i] = pcm[i];
    }
}

#endif

#ifndef ERN_OWN_BINS
/* The packed transform's bins into the signal's, in place. */
static void split_real(const ern_stft *f, int32_t *spectrum)
{
    const uint32_t half = f->window / 2u;
    uint32_t k;
    for (k = 0; k <= half / 2u; k++) {
        int32_t *const low = spectrum + 2u * k, *const high = spectrum + 2u * ((half - k) & (half - 1u));
        const int32_t z[2] = { low[0], low[1] }, y[2] = { high[0], high[1] };
        ern_split_bin(low, z, y, f->cosine[k], f->cosine[k + half / 2u]);
        if (k > 0u && k < half / 2u) {
            ern_split_bin(high, y, z, f->cosine[half - k], f->cosine[half - k + half / 2u]);
        }
    }
}

/* Bins into the packed transform's, in place. */
static void join_real(const ern_stft *f, int32_t *spectrum)
{
    const uint32_t half = f->window / 2u;
    uint32_t k;
    for (k = 0; k <= half / 2u; k++) {
        int32_t *const low = spectrum + 2u * k, *const high = spectrum + 2u * (half - k);
        const int32_t a[2] = { low[0], low[1] }, b[2] = { high[0], high[1] };
        ern_join_bin(low, a, b, f->cosine[k], f->cosine[k + half / 2u]);
        if (k > 0u && k < half / 2u) {
            ern_join_bin(high, b, a, f->cosine[half - k], f->cosine[half - k + half / 2u]);
        }
    }
}
#endif

void ern_stft_analyze(const ern_stft *f, int32_t *spectrum, int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->window / 2u;
    int32_t *const top = spectrum + 2u * half;
    load_window(f, spectrum, history, pcm);
    fft_forward(spectrum, f->cosine, half);
    top[0] = ERN_PROVE32((ern_wide)(spectrum[0] >> 1) - (spectrum[1] >> 1));
    top[1] = 0;
    split_real(f, spectrum);
}

void ern_stft_log_bands(const ern_stft *f, int16_t *out, const int32_t *spectrum)
{
    uint32_t band, k;
    for (band = 0; band < f->bands; band++) {
        uint64_t energy = (uint64_t)1 << f->floor_log2;
        for (k = band < f->single ? 1u : f->wide; k > 0u; k--, spectrum += 2) {
            energy += ern_bin_power(spectrum);
        }
        out[band] = ern_log2_q9(energy);
    }
}

void ern_stft_features(const ern_stft *f, int16_t *out, const int32_t *spectrum)
{
    uint32_t band;
    ern_stft_log_bands(f, out, spectrum);
    for (band = 0; band < f->bands; band++) {
        out[band] = ern_normalize(out[band], f->offset[band], f->gain[band], f->shift, f->bits);
    }
}

static void scale_bins(int32_t *x, uint32_t bins, int16_t gain)
{
    const int32_t g = gain + (gain >> 14); /* 32767 becomes 32768, exactly 1 */
    uint32_t i;
    for (i = 0; i < 2u * bins; i++) {
        x[i] = (int32_t)(((int64_t)x[i] * g) >> (15 + GAIN_SHIFT));
    }
}

static void apply_gains(const ern_stft *f, int32_t *spectrum, const int16_t *gains, int16_t floor)
{
    uint32_t band;
    for (band = 0; band < f->bands; band++) {
        const int16_t gain = gains[band] < floor ? floor : gains[band];
        /* the bin at Nyquist follows the last band */
        const uint32_t bins = (band < f->single ? 1u : f->wide) + (band + 1u == f->bands ? 1u : 0u);
        scale_bins(spectrum, bins, gain);
        spectrum += 2u * bins;
    }
}

void ern_stft_synthesize(const ern_stft *f, int16_t *pcm, int32_t *overlap, int32_t *spectrum, const int16_t *gains,
                         int16_t floor)
{
    const uint32_t half = f->window / 2u;
    uint32_t i;
    apply_gains(f, spectrum, gains, floor);
    join_real(f, spectrum);
    reverse_order(spectrum, half);
    fft_inverse(spectrum, f->cosine, half);
    for (i = 0; i < half; i++) {
        const int32_t sum = ERN_PROVE32((ern_wide)overlap[i] + ern_mul_wide(spectrum[i], f->taper[i]));
        pcm[i] = ern_sat16((sum + ((int32_t)1 << (OUTPUT_SHIFT - 1))) >> OUTPUT_SHIFT);
        overlap[i] = ern_mul_wide(spectrum[half + i], f->taper[half + i]);
    }
}
