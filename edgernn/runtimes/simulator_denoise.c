/* Streams through dn_process for the host simulator.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define DN_IMPLEMENTATION
#include "denoise.h"
#include <stddef.h>

size_t sim_state_bytes(void);
void sim_reset(dn_state *s);
void sim_features(dn_state *s, const int16_t *pcm, size_t frames, int16_t *features);
void sim_net(dn_state *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *gains, uint8_t *net);
void sim_denoise(dn_state *s, const int16_t *in, int16_t *out, size_t steps);
int32_t sim_self_test(dn_state *s);

size_t sim_state_bytes(void)
{
    return sizeof(dn_state);
}

void sim_reset(dn_state *s)
{
    dn_reset(s);
}

void sim_features(dn_state *s, const int16_t *pcm, size_t frames, int16_t *features)
{
    size_t i;
    for (i = 0; i < frames; i++) {
        ern_stft_analyze(&dn_stft, s->spectrum, s->history, pcm + i * DN_HOP);
        ern_stft_features(&dn_stft, features + i * DN_BANDS, s->spectrum);
    }
}

void sim_net(dn_state *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *gains, uint8_t *net)
{
    size_t step, i;
    for (step = 0; step < steps; step++) {
        for (i = 0; i < DN_BANDS; i++) {
            s->features[i] = (dn_feature)features[step * DN_BANDS + i];
        }
        dn_net_step(s);
        ern_copy(logits + step * DN_BANDS, s->logits, sizeof s->logits);
        ern_copy(gains + step * DN_BANDS, s->gains, sizeof s->gains);
        ern_copy(net + step * sizeof s->net, &s->net, sizeof s->net);
    }
}

void sim_denoise(dn_state *s, const int16_t *in, int16_t *out, size_t steps)
{
    size_t step;
    for (step = 0; step < steps; step++) {
        dn_process(s, in + step * DN_HOP, out + step * DN_HOP);
    }
}

int32_t sim_self_test(dn_state *s)
{
    int16_t pcm[DN_HOP];
    return dn_self_test(s, pcm);
}
