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

/* One frame: out[bands] features (int8 range when f->bits is 8).
 * history[window - hop] holds the last samples, zero at the start, and is updated; pcm[hop] is new;
 * work[fft] and energy[bands] are scratch. */
void ern_frontend_step(const ern_frontend *f, int16_t *out, int16_t *history, const int16_t *pcm,
                       int32_t *work, uint64_t *energy);

/* The same without the affine: out[bands] log2 energies in Q9. */
void ern_frontend_log_mel(const ern_frontend *f, int16_t *out, int16_t *history, const int16_t *pcm,
                          int32_t *work, uint64_t *energy);

#ifdef __cplusplus
}
#endif

#endif
