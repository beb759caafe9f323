/* The denoiser's signal path; see ern_stft.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_stft.h"
#include "ern_log.h"

#define GAIN_SHIFT 5                     /* bits the spectrum gives up so that the inverse transform cannot overflow */
#define OUTPUT_SHIFT (15 - GAIN_SHIFT - 1)

/* History and new samples, tapered, into z as window / 2 complex numbers (even, odd), in bit-reversed order. */
static void load_window(const ern_stft *f, int32_t *z, int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->window / 2u, quarter = half / 2u;
    uint32_t i;
    for (i = 0; i < quarter; i++) {
        int32_t *const past = z + 2u * ern_bit_reverse(i, half), *const fresh = z + 2u * ern_bit_reverse(i + quarter, half);
        past[0] = history[2u * i] * f->taper[2u * i];
        past[1] = history[2u * i + 1u] * f->taper[2u * i + 1u];
        fresh[0] = pcm[2u * i] * f->taper[half + 2u * i];
        fresh[1] = pcm[2u * i + 1u] * f->taper[half + 2u * i + 1u];
    }
    for (i = 0; i < half; i++) {
        history[i] = pcm[i];
    }
}

/* Radix-2 butterfly a +- w b, halved. */
static inline void butterfly_down(int32_t *a, int32_t *b, int32_t wr, int32_t wi)
{
    const int32_t tr = ERN_PROVE32((ern_wide)ern_mul_high(b[0], wr) - ern_mul_high(b[1], wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ern_mul_high(b[0], wi) + ern_mul_high(b[1], wr));
    const int32_t ar = a[0] >> 1, ai = a[1] >> 1;
    ERN_COUNT(butterfly, 1u);
    a[0] = ERN_PROVE32((ern_wide)ar + tr);
    a[1] = ERN_PROVE32((ern_wide)ai + ti);
    b[0] = ERN_PROVE32((ern_wide)ar - tr);
    b[1] = ERN_PROVE32((ern_wide)ai - ti);
}

/* Radix-2 butterfly a +- conj(w) b. */
static inline void butterfly_up(int32_t *a, int32_t *b, int32_t wr, int32_t wi)
{
    const int32_t br = ERN_PROVE32((ern_wide)b[0] * 2), bi = ERN_PROVE32((ern_wide)b[1] * 2);
    const int32_t tr = ERN_PROVE32((ern_wide)ern_mul_high(br, wr) + ern_mul_high(bi, wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ern_mul_high(bi, wr) - ern_mul_high(br, wi));
    const int32_t ar = a[0], ai = a[1];
    ERN_COUNT(butterfly, 1u);
    a[0] = ERN_PROVE32((ern_wide)ar + tr);
    a[1] = ERN_PROVE32((ern_wide)ai + ti);
    b[0] = ERN_PROVE32((ern_wide)ar - tr);
    b[1] = ERN_PROVE32((ern_wide)ai - ti);
}

/* Complex FFT in place, z[2 * half], input in bit-reversed order: one stage of butterflies after another. */
#define TRANSFORM(butterfly)                                                                            \
    const uint32_t half = f->window / 2u, quarter = half / 2u;                                          \
    uint32_t span, k, i;                                                                                \
    for (span = 1; span < half; span *= 2u) {                                                           \
        for (k = 0; k < span; k++) {                                                                    \
            const uint32_t turn = k * (half / span);                                                    \
            const int32_t wr = f->cosine[turn], wi = f->cosine[turn + quarter];                         \
            for (i = k; i < half; i += 2u * span) {                                                     \
                butterfly(z + 2u * i, z + 2u * (i + span), wr, wi);                                     \
            }                                                                                           \
        }                                                                                               \
    }

/* Every stage halves: scaled by 1/half. */
static void transform(const ern_stft *f, int32_t *z)
{
    TRANSFORM(butterfly_down)
}

/* The inverse, unscaled. */
static void transform_back(const ern_stft *f, int32_t *z)
{
    TRANSFORM(butterfly_up)
}

/* One bin of the real signal whose even and odd samples were transformed together: z its own bin, y the mirrored one. */
static void split_bin(int32_t *x, const int32_t z[2], const int32_t y[2], int32_t wr, int32_t wi)
{
    const int32_t zr = z[0] >> 1, zi = z[1] >> 1, yr = y[0] >> 1, yi = y[1] >> 1;
    const int32_t even_r = ERN_PROVE32((ern_wide)zr + yr), even_i = ERN_PROVE32((ern_wide)zi - yi);
    const int32_t odd_r = ERN_PROVE32((ern_wide)zi + yi), odd_i = ERN_PROVE32((ern_wide)yr - zr);
    x[0] = ERN_PROVE32((ern_wide)(even_r >> 1) + ern_mul_high(odd_r, wr) - ern_mul_high(odd_i, wi));
    x[1] = ERN_PROVE32((ern_wide)(even_i >> 1) + ern_mul_high(odd_r, wi) + ern_mul_high(odd_i, wr));
}

/* The opposite: bin a and its mirrored one b of a real signal -> the packed transform's bin, doubled. */
static void join_bin(int32_t *z, const int32_t a[2], const int32_t b[2], int32_t wr, int32_t wi)
{
    const int32_t odd_r = ERN_PROVE32(((ern_wide)a[0] - b[0]) * 2), odd_i = ERN_PROVE32(((ern_wide)a[1] + b[1]) * 2);
    const int32_t tr = ERN_PROVE32((ern_wide)ern_mul_high(odd_r, wr) + ern_mul_high(odd_i, wi));
    const int32_t ti = ERN_PROVE32((ern_wide)ern_mul_high(odd_i, wr) - ern_mul_high(odd_r, wi));
    z[0] = ERN_PROVE32((ern_wide)a[0] + b[0] - ti);
    z[1] = ERN_PROVE32((ern_wide)a[1] - b[1] + tr);
}

void ern_stft_analyze(const ern_stft *f, int32_t *spectrum, int16_t *history, const int16_t *pcm)
{
    const uint32_t half = f->window / 2u;
    int32_t *const top = spectrum + 2u * half;
    uint32_t k;
    load_window(f, spectrum, history, pcm);
    transform(f, spectrum);
    top[0] = ERN_PROVE32((ern_wide)(spectrum[0] >> 1) - (spectrum[1] >> 1));
    top[1] = 0;
    for (k = 0; k <= half / 2u; k++) {
        int32_t *const low = spectrum + 2u * k, *const high = spectrum + 2u * ((half - k) & (half - 1u));
        const int32_t z[2] = { low[0], low[1] }, y[2] = { high[0], high[1] };
        split_bin(low, z, y, f->cosine[k], f->cosine[k + half / 2u]);
        if (k > 0u && k < half / 2u) {
            split_bin(high, y, z, f->cosine[half - k], f->cosine[half - k + half / 2u]);
        }
    }
}

static uint64_t bin_power(const int32_t *x)
{
    return (uint64_t)((int64_t)x[0] * x[0] + (int64_t)x[1] * x[1]) >> ERN_POWER_SHIFT;
}

void ern_stft_log_bands(const ern_stft *f, int16_t *out, const int32_t *spectrum)
{
    uint32_t band, k;
    for (band = 0; band < f->bands; band++) {
        uint64_t energy = (uint64_t)1 << f->floor_log2;
        for (k = band < f->single ? 1u : f->wide; k > 0u; k--, spectrum += 2) {
            energy += bin_power(spectrum);
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

/* Bins into the packed transform's, in place. */
static void join_real(const ern_stft *f, int32_t *spectrum)
{
    const uint32_t half = f->window / 2u;
    uint32_t k;
    for (k = 0; k <= half / 2u; k++) {
        int32_t *const low = spectrum + 2u * k, *const high = spectrum + 2u * (half - k);
        const int32_t a[2] = { low[0], low[1] }, b[2] = { high[0], high[1] };
        join_bin(low, a, b, f->cosine[k], f->cosine[k + half / 2u]);
        if (k > 0u && k < half / 2u) {
            join_bin(high, b, a, f->cosine[half - k], f->cosine[half - k + half / 2u]);
        }
    }
}

static void reverse_order(int32_t *z, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        const uint32_t j = ern_bit_reverse(i, n);
        if (j > i) {
            const int32_t re = z[2u * i], im = z[2u * i + 1u];
            z[2u * i] = z[2u * j];
            z[2u * i + 1u] = z[2u * j + 1u];
            z[2u * j] = re;
            z[2u * j + 1u] = im;
        }
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
    transform_back(f, spectrum);
    for (i = 0; i < half; i++) {
        const int32_t sum = ERN_PROVE32((ern_wide)overlap[i] + ern_mul_wide(spectrum[i], f->taper[i]));
        pcm[i] = ern_sat16((sum + ((int32_t)1 << (OUTPUT_SHIFT - 1))) >> OUTPUT_SHIFT);
        overlap[i] = ern_mul_wide(spectrum[half + i], f->taper[half + i]);
    }
}
