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
    uint16_t refractory;       /* R steps after an event in which nothing fires */
} ern_decision;

typedef struct {
    int32_t label;             /* index of the keyword, -1: none */
    int32_t score;             /* highest mean posterior over the smoothing since it fired, Q15 */
    uint32_t step;             /* in which it fired; steps since reset, from 0 */
} ern_event;

/* What a step may tell of an event; both at once when R is 0. */
#define ERN_FIRED 1            /* it begins: its score is that of this step */
#define ERN_OVER 2             /* it has ended, and its score is the highest that it had */

typedef struct {
    uint32_t step, fired;
    int32_t highest;           /* sum over the smoothing */
    uint16_t wait, next, label, lasts;
} ern_decider;

/* One step: posteriors[labels] and thresholds[keywords] (both Q15) in; returns 0 and event->label = -1, or what there is to
 * tell of *event: ERN_FIRED, ERN_OVER. decider, ring[smoothing * keywords] and held[keywords] are zero at the start. */
int ern_decide(const ern_decision *d, const int16_t *thresholds, ern_decider *decider, int16_t *ring, uint8_t *held,
               const int16_t *posteriors, ern_event *event);

#ifdef __cplusplus
}
#endif

#endif
