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

/* The keyword furthest above its threshold into *event, with its sum as the score; held ones are released, not chosen. */
static void choose(const ern_decision *d, const int16_t *thresholds, const int16_t *ring, uint8_t *held, ern_event *event)
{
    int32_t best_margin = -1;
    uint32_t i;
    for (i = 0; i < d->keywords; i++) {
        const int32_t sum = ring_sum(d, ring, i);
        const int32_t goal = (int32_t)d->smoothing * thresholds[i];
        if (4 * sum < 3 * goal) {
            held[i] = 0;
        }
        if (held[i] == 0u && sum - goal > best_margin) {
            best_margin = sum - goal;
            event->label = (int32_t)i;
            event->score = sum;
        }
    }
}

static void nothing(ern_event *event)
{
    event->label = -1;
    event->score = 0;
}

static void tell(const ern_decision *d, const ern_decider *decider, ern_event *event)
{
    event->label = decider->label;
    event->score = decider->highest / (int32_t)d->smoothing;
    event->step = decider->fired;
}

/* A step in which nothing may fire: the event that lasts grows, and is over when it was released or has lasted R steps. */
static int go_on(const ern_decision *d, ern_decider *decider, const int16_t *ring, const uint8_t *held, ern_event *event)
{
    int32_t sum;
    decider->wait--;
    if (decider->lasts == 0u) {
        return 0;
    }
    sum = ring_sum(d, ring, decider->label);
    if (sum > decider->highest) {
        decider->highest = sum;
    }
    if (held[decider->label] != 0u && decider->wait > 0u) {
        return 0;
    }
    decider->lasts = 0;
    tell(d, decider, event);
    return ERN_OVER;
}

int ern_decide(const ern_decision *d, const int16_t *thresholds, ern_decider *decider, int16_t *ring, uint8_t *held,
               const int16_t *posteriors, ern_event *event)
{
    ern_event found;
    nothing(&found);
    nothing(event);
    event->step = decider->step;
    remember(d, decider, ring, posteriors);
    choose(d, thresholds, ring, held, &found);
    if (decider->wait > 0u) {
        return go_on(d, decider, ring, held, event);
    }
    if (found.label < 0) {
        return 0;
    }
    decider->fired = event->step;
    decider->label = (uint16_t)found.label;
    decider->highest = found.score;
    decider->wait = d->refractory;
    decider->lasts = d->refractory > 0u;
    held[found.label] = 1;
    tell(d, decider, event);
    return d->refractory > 0u ? ERN_FIRED : ERN_FIRED | ERN_OVER;
}
