/* Streams through kws_process for the host simulator.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define KWS_IMPLEMENTATION
#include "model.h"
#include <stddef.h>

size_t sim_state_bytes(void);
void sim_reset(kws_state *s);
size_t sim_features(kws_state *s, const int16_t *pcm, size_t frames, int16_t *features);
void sim_net(kws_state *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *posteriors, uint8_t *net);
size_t sim_process(kws_state *s, const int16_t *pcm, size_t steps, int16_t *logits, int16_t *posteriors,
                   kws_event *events);
int32_t sim_self_test(kws_state *s);

size_t sim_state_bytes(void)
{
    return sizeof(kws_state);
}

void sim_reset(kws_state *s)
{
    kws_reset(s);
}

size_t sim_features(kws_state *s, const int16_t *pcm, size_t frames, int16_t *features)
{
    size_t i;
    for (i = 0; i < frames; i++) {
        ern_frontend_step(&kws_frontend, features + i * KWS_BANDS, s->history, pcm + i * kws_frontend.hop,
                          s->scratch.frontend.work, s->scratch.frontend.energy);
    }
    return frames;
}

static void keep(const kws_state *s, size_t step, int16_t *logits, int16_t *posteriors)
{
    ern_copy(logits + step * KWS_LABELS, s->logits, sizeof s->logits);
    ern_copy(posteriors + step * KWS_LABELS, s->posteriors, sizeof s->posteriors);
}

void sim_net(kws_state *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *posteriors, uint8_t *net)
{
    size_t step, i;
    for (step = 0; step < steps; step++) {
        for (i = 0; i < KWS_FRAMES * KWS_BANDS; i++) {
            s->features[i] = (kws_feature)features[step * KWS_FRAMES * KWS_BANDS + i];
        }
        kws_net_step(s);
        keep(s, step, logits, posteriors);
        if (net) {
            ern_copy(net + step * sizeof s->net, &s->net, sizeof s->net);
        }
    }
}

size_t sim_process(kws_state *s, const int16_t *pcm, size_t steps, int16_t *logits, int16_t *posteriors,
                   kws_event *events)
{
    size_t step, fired = 0;
    for (step = 0; step < steps; step++) {
        fired += (size_t)kws_process(s, pcm + step * KWS_HOP, events + fired);
        keep(s, step, logits, posteriors);
    }
    return fired;
}

int32_t sim_self_test(kws_state *s)
{
    int16_t pcm[KWS_HOP];
    return kws_self_test(s, pcm);
}
