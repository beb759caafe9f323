/* Audio front end: int16 PCM -> normalised log-mel features, integers only.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * The definition is edgernn/signal/log_mel.py; SPEC.md, "Front end", says every step in words.
 */
#ifndef ERN_FRONTEND_H
#define ERN_FRONTEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The constants of one front end; all pointers are to read-only tables owned by the caller. */
typedef struct {
    uint16_t window;           /* samples in a window, <= fft */
    uint16_t hop;              /* new samples a frame, <= window */
    uint16_t fft;              /* power of two, 32..1024 */
    uint8_t bands;             /* mel bands, <= 80 */
    uint8_t floor_log2;        /* 2^floor is added to each band's energy */
    uint8_t shift;             /* of the affine, 1..24 */
    uint8_t bits;              /* features saturate to 16 or 8 bits */
    const int16_t *hann;       /* [window] Q15 */
    const int16_t *cosine;     /* [3/4 fft] Q15 */
    const uint16_t *mel_start; /* [bands + 2] */
    const uint16_t *mel_rise;  /* [mel_start[bands + 1] - mel_start[0]] Q12 */
    const int16_t *offset;     /* [bands] Q9 */
    const int16_t *gain;       /* [bands] */
} ern_frontend;

/* One frame: out[bands] features, int8_t where f->bits is 8, else int16_t.
 * history[window - hop] holds the last samples, zero at the start, and is updated; pcm[hop] is new; work[fft] is scratch. */
void ern_frontend_step(const ern_frontend *f, void *out, int16_t *history, const int16_t *pcm, int32_t *work);

/* The same without the affine: out[bands] log2 energies in Q9, int16_t. Models with other affines can share them. */
void ern_frontend_log_mel(const ern_frontend *f, void *out, int16_t *history, const int16_t *pcm, int32_t *work);

/* The affine alone: out[bands] features of log_mel[bands]. */
void ern_frontend_features(const ern_frontend *f, void *out, const int16_t *log_mel);

#ifdef __cplusplus
}
#endif

#endif
