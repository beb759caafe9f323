/* The signal path from sound to sound: int16 PCM -> spectrum and features; spectrum and gains -> int16 PCM. Integers only.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * The definition is edgernn/signal/stft.py; SPEC.md, 15, says every step in words and proves that nothing overflows.
 */
#ifndef ERN_STFT_H
#define ERN_STFT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The constants of one signal path; all pointers are to read-only tables owned by the caller. */
typedef struct {
    uint16_t window;       /* samples, a power of two in 64..1024; a frame brings half of them */
    uint16_t single;       /* FFT bins that are bands of their own */
    uint16_t wide;         /* bins in each of the other bands */
    uint16_t bands;        /* single + (window / 2 - single) / wide */
    uint8_t floor_log2;    /* 2^floor is added to each band's power */
    uint8_t shift;         /* of the affine, 1..24 */
    uint8_t bits;          /* features saturate to 16 or 8 bits */
    const int16_t *taper;  /* [window] root-Hann, Q15 */
    const int32_t *cosine; /* [3/4 window] Q31 */
    const int16_t *offset; /* [bands] of the affine */
    const int16_t *gain;   /* [bands] of the affine */
} ern_stft;

/* One frame. spectrum[window + 2]: bins 0 .. window / 2 as (real, imaginary), scaled by 1/window. history[window / 2]
 * carries samples from call to call and starts at 0; pcm[window / 2] are the new ones. */
void ern_stft_analyze(const ern_stft *f, int32_t *spectrum, int16_t *history, const int16_t *pcm);

/* Log2 band powers in Q9, out[bands], of a spectrum. */
void ern_stft_log_bands(const ern_stft *f, int16_t *out, const int32_t *spectrum);

/* Normalised features, out[bands], of a spectrum. */
void ern_stft_features(const ern_stft *f, int16_t *out, const int32_t *spectrum);

/* The spectrum times band gains, as sound: pcm[window / 2]. gains[bands] are Q15 in [0, 32767], of which 32767 counts as 1
 * and none counts as less than floor. overlap[window / 2] is carried and starts at 0. Uses up the spectrum. */
void ern_stft_synthesize(const ern_stft *f, int16_t *pcm, int32_t *overlap, int32_t *spectrum, const int16_t *gains,
                         int16_t floor);

#ifdef __cplusplus
}
#endif

#endif
