/* Audio front end; see ern_frontend.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"
#include "ern_log.h"

#define MEL_ONE 4096u

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

/* Radix-2 butterfly a +- w b, halved. */
static void butterfly(int32_t *a, int32_t *b, int16_t wr, int16_t wi)
{
    const int32_t tr = ERN_PROVE32((ern_wide)ern_mul_wide(b[0], wr) - ern_mul_wide(b[1], wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ern_mul_wide(b[0], wi) + ern_mul_wide(b[1], wr));
    const int32_t ar = a[0] >> 1, ai = a[1] >> 1;
    ERN_COUNT(butterfly, 1u);
    a[0] = ERN_PROVE32((ern_wide)ar + tr);
    a[1] = ERN_PROVE32((ern_wide)ai + ti);
    b[0] = ERN_PROVE32((ern_wide)ar - tr);
    b[1] = ERN_PROVE32((ern_wide)ai - ti);
}

/* Complex FFT in place, z[2 * half], input in bit-reversed order, scaled by 1/half. */
static void complex_fft(const ern_frontend *f, int32_t *z)
{
    const uint32_t half = f->fft / 2u, quarter = half / 2u;
    uint32_t span, k, i;
    for (span = 1; span < half; span *= 2u) {
        for (k = 0; k < span; k++) {
            const uint32_t turn = k * (half / span);
            const int16_t wr = f->cosine[turn], wi = f->cosine[turn + quarter];
            for (i = k; i < half; i += 2u * span) {
                butterfly(z + 2u * i, z + 2u * (i + span), wr, wi);
            }
        }
    }
}

/* |X[k]|^2 >> 12 of the real signal whose even and odd samples were transformed together. */
static uint64_t bin_power(const ern_frontend *f, const int32_t *z, uint32_t k)
{
    const uint32_t half = f->fft / 2u, mirror = (half - k) & (half - 1u);
    const int32_t zr = z[2u * k] >> 1, zi = z[2u * k + 1u] >> 1;
    const int32_t yr = z[2u * mirror] >> 1, yi = z[2u * mirror + 1u] >> 1;
    const int32_t even_r = ERN_PROVE32((ern_wide)zr + yr), even_i = ERN_PROVE32((ern_wide)zi - yi);
    const int32_t odd_r = ERN_PROVE32((ern_wide)zi + yi), odd_i = ERN_PROVE32((ern_wide)yr - zr);
    const int16_t wr = f->cosine[k], wi = f->cosine[k + half / 2u];
    const int32_t xr =
        ERN_PROVE32((ern_wide)(even_r >> 1) + ern_mul_wide(odd_r, wr) - ern_mul_wide(odd_i, wi));
    const int32_t xi =
        ERN_PROVE32((ern_wide)(even_i >> 1) + ern_mul_wide(odd_r, wi) + ern_mul_wide(odd_i, wr));
    return (uint64_t)((int64_t)xr * xr + (int64_t)xi * xi) >> ERN_POWER_SHIFT;
}

static void mel_energy(const ern_frontend *f, uint64_t *energy, const int32_t *z)
{
    const uint16_t *rise = f->mel_rise;
    uint32_t slope, k;
    for (k = 0; k < f->bands; k++) {
        energy[k] = 0;
    }
    for (slope = 0; slope <= f->bands; slope++) {
        for (k = f->mel_start[slope]; k < f->mel_start[slope + 1u]; k++) {
            const uint64_t power = bin_power(f, z, k);
            const uint32_t up = *rise++;
            if (slope < f->bands) {
                energy[slope] += power * up;
            }
            if (slope > 0u) {
                energy[slope - 1u] += power * (MEL_ONE - up);
            }
        }
    }
}

void ern_frontend_log_mel(const ern_frontend *f, int16_t *out, int16_t *history, const int16_t *pcm,
                          int32_t *work, uint64_t *energy)
{
    uint32_t band;
    load_window(f, work, history, pcm);
    keep_history(f, history, pcm);
    complex_fft(f, work);
    mel_energy(f, energy, work);
    for (band = 0; band < f->bands; band++) {
        out[band] = ern_log2_q9(energy[band] + ((uint64_t)1 << f->floor_log2));
    }
}

void ern_frontend_step(const ern_frontend *f, int16_t *out, int16_t *history, const int16_t *pcm,
                       int32_t *work, uint64_t *energy)
{
    uint32_t band;
    ern_frontend_log_mel(f, out, history, pcm, work, energy);
    for (band = 0; band < f->bands; band++) {
        out[band] = ern_normalize(out[band], f->offset[band], f->gain[band], f->shift, f->bits);
    }
}
