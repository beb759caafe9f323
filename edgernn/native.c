/* Loops over whole recordings for the host, so that Python calls C once a clip and not once a frame.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_frontend.h"

#include <stddef.h>

typedef void (*frontend_step)(const ern_frontend *, int16_t *, int16_t *, const int16_t *, int32_t *, uint64_t *);

void ern_frontend_many(const ern_frontend *f, frontend_step step, int16_t *out, int16_t *history,
                       const int16_t *pcm, size_t frames, int32_t *work, uint64_t *energy);

void ern_frontend_many(const ern_frontend *f, frontend_step step, int16_t *out, int16_t *history,
                       const int16_t *pcm, size_t frames, int32_t *work, uint64_t *energy)
{
    size_t i;
    for (i = 0; i < frames; i++) {
        step(f, out + i * f->bands, history, pcm + i * f->hop, work, energy);
    }
}
