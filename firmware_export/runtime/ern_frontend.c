/* Audio front end; see ern_frontend.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"
#include "ern_log.h"

#define ERN_TWIDDLE int16_t
#define ERN_TIMES ern_mul_wide
#include "ern_fft.h"

#define MEL_ONE 4096u

static void put_feature(const ern_frontend *f, void *out, uint32_t band, int16_t log_mel)
{
    const int16_t value = ern_normalize(log_mel, f->offset[band], f->gain[band], f->shift, f->bits);
    if (f->bits == 8u) {
        ((int8_t *)out)[band] = (int8_t)value;
    } else {
        ((int16_t *)out)[band] = value;
    }
}

/* Window history and new samples into work as fft/2 complex numbers (even, odd), in bit-reversed order. */
static void load_window(const ern_frontend *f, int32_t *work, const int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->fft / 2u, past = (uint32_t)f->window - f->hop;
    uint32_t i;
    for (i = 0; i < half; i++) {
        int32_t *const z = work + 2u * ern_bit_reverse(i, half);
        uint32_t j;
        for (j = 2u * i; j < 2u * i + 2u; j++) {
            const int32_t x = j >= f->window ? 0 : j < past ? history[j] : pcm[j - past];
            z[j & 1u] = j >= f->window ? 0 : x * f->hann[j];
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

/* Power of bin k of the real signal whose even and odd samples were transformed together. */
static uint64_t bin_power(const ern_frontend *f, const int32_t *z, uint32_t k)
{
    const uint32_t half = f->fft / 2u, mirror = (half - k) & (half - 1u);
    int32_t x[2];
    ern_split_bin(x, z + 2u * k, z + 2u * mirror, f->cosine[k], f->cosine[k + half / 2u]);
    return ern_bin_power(x);
}

/* One band's feature, or with affine 0 its log2 energy in Q9, to its place in out. */
static void put_band(const ern_frontend *f, void *out, uint32_t band, uint64_t energy, int affine)
{
    const int16_t value = ern_log2_q9(energy + ((uint64_t)1 << f->floor_log2));
    if (affine) {
        put_feature(f, out, band, value);
    } else {
        ((int16_t *)out)[band] = value;
    }
}

/* Bands complete one after another: the bins between two centres rise into the upper band and fall out of the lower one. */
static void mel_bands(const ern_frontend *f, void *out, const int32_t *z, int affine)
{
    const uint16_t *rise = f->mel_rise;
    uint64_t lower = 0;
    uint32_t slope, k;
    for (slope = 0; slope <= f->bands; slope++) {
        uint64_t upper = 0;
        for (k = f->mel_start[slope]; k < f->mel_start[slope + 1u]; k++) {
            const uint64_t power = bin_power(f, z, k);
            const uint32_t up = *rise++;
            upper += power * up;
            lower += power * (MEL_ONE - up);
        }
        if (slope > 0u) {
            put_band(f, out, slope - 1u, lower, affine);
        }
        lower = upper;
    }
}

static void transform(const ern_frontend *f, int16_t *history, const int16_t *pcm, int32_t *work)
{
    load_window(f, work, history, pcm);
    keep_history(f, history, pcm);
    ern_fft_forward(work, f->cosine, f->fft / 2u);
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
