/* Loops over whole recordings for the host, so that Python calls C once a clip and not once a frame.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"
#include "ern_stft.h"

#include <stddef.h>

typedef void (*frontend_step)(const ern_frontend *, void *, int16_t *, const int16_t *, int32_t *);

void ern_frontend_many(const ern_frontend *f, frontend_step step, uint8_t *out, size_t frame_bytes, int16_t *history,
                       const int16_t *pcm, size_t frames, int32_t *work);

void ern_frontend_many(const ern_frontend *f, frontend_step step, uint8_t *out, size_t frame_bytes, int16_t *history,
                       const int16_t *pcm, size_t frames, int32_t *work)
{
    size_t i;
    for (i = 0; i < frames; i++) {
        step(f, out + i * frame_bytes, history, pcm + i * f->hop, work);
    }
}

void ern_stft_many(const ern_stft *f, int32_t *spectra, int16_t *logs, int16_t *history, const int16_t *pcm, size_t frames);

/* spectra[frames][window + 2], logs[frames][bands] */
void ern_stft_many(const ern_stft *f, int32_t *spectra, int16_t *logs, int16_t *history, const int16_t *pcm, size_t frames)
{
    size_t i;
    for (i = 0; i < frames; i++) {
        ern_stft_analyze(f, spectra, history, pcm);
        ern_stft_log_bands(f, logs, spectra);
        spectra += f->window + 2u;
        logs += f->bands;
        pcm += f->window / 2u;
    }
}
