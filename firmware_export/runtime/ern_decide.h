/* Decision stage: posteriors to events. SPEC.md, 7, says every step in words.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#ifndef ERN_DECIDE_H
#define ERN_DECIDE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t labels;           /* entries of a posterior row */
    uint16_t keywords;         /* the first labels: those that can fire */
    uint16_t smoothing;        /* N steps, 1..255 */
    uint16_t refractory;       /* R steps of silence after an event */
    const int16_t *thresholds; /* [keywords] Q15 */
} ern_decision;

typedef struct {
    int32_t label;             /* index of the keyword, -1: none */
    int32_t score;             /* mean posterior over the smoothing, Q15 */
    uint32_t step;             /* steps since reset, from 0 */
} ern_event;

typedef struct {
    uint32_t step;
    uint16_t wait, next;
} ern_decider;

/* One step: posteriors[labels] in; returns 1 and fills *event when a keyword fires, else 0 and event->label = -1.
 * decider, ring[smoothing * keywords] and held[keywords] are zero at the start. */
int ern_decide(const ern_decision *d, ern_decider *decider, int16_t *ring, uint8_t *held, const int16_t *posteriors,
               ern_event *event);

#ifdef __cplusplus
}
#endif

#endif
