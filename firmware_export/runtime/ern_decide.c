/* Decision stage; see ern_decide.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_decide.h"

static int32_t ring_sum(const ern_decision *d, const int16_t *ring, uint32_t keyword)
{
    int32_t sum = 0;
    uint32_t i;
    for (i = 0; i < d->smoothing; i++) {
        sum += ring[i * d->keywords + keyword];
    }
    return sum;
}

static void remember(const ern_decision *d, ern_decider *decider, int16_t *ring, const int16_t *posteriors)
{
    int16_t *const row = ring + (uint32_t)decider->next * d->keywords;
    uint32_t i;
    for (i = 0; i < d->keywords; i++) {
        row[i] = posteriors[i];
    }
    decider->next = (uint16_t)(decider->next + 1u == d->smoothing ? 0u : decider->next + 1u);
    decider->step++;
}

/* The keyword furthest above its threshold, with its score, into *event; held ones are released, not chosen. */
static void choose(const ern_decision *d, const int16_t *ring, uint8_t *held, ern_event *event)
{
    int32_t best_margin = -1;
    uint32_t i;
    for (i = 0; i < d->keywords; i++) {
        const int32_t sum = ring_sum(d, ring, i);
        const int32_t goal = (int32_t)d->smoothing * d->thresholds[i];
        if (4 * sum < 3 * goal) {
            held[i] = 0;
        }
        if (held[i] == 0u && sum - goal > best_margin) {
            best_margin = sum - goal;
            event->label = (int32_t)i;
            event->score = sum / (int32_t)d->smoothing;
        }
    }
}

static void nothing(ern_event *event)
{
    event->label = -1;
    event->score = 0;
}

int ern_decide(const ern_decision *d, ern_decider *decider, int16_t *ring, uint8_t *held, const int16_t *posteriors,
               ern_event *event)
{
    nothing(event);
    event->step = decider->step;
    remember(d, decider, ring, posteriors);
    choose(d, ring, held, event);
    if (decider->wait > 0u) {
        decider->wait--;
        nothing(event);
        return 0;
    }
    if (event->label < 0) {
        return 0;
    }
    decider->wait = d->refractory;
    held[event->label] = 1;
    return 1;
}
