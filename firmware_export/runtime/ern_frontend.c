/* Audio front end; see ern_frontend.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"
#include "ern_log.h"

#define ERN_TWIDDLE int16_t
#define ERN_TIMES ern_mul_wide
#include "ern_fft.h"

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

/* Power of bin k of the real signal whose even and odd samples were transformed together. */
static uint64_t bin_power(const ern_frontend *f, const int32_t *z, uint32_t k)
{
    const uint32_t half = f->fft / 2u, mirror = (half - k) & (half - 1u);
    int32_t x[2];
    ern_split_bin(x, z + 2u * k, z + 2u * mirror, f->cosine[k], f->cosine[k + half / 2u]);
    return ern_bin_power(x);
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
    ern_fft_forward(work, f->cosine, f->fft / 2u);
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
