/* A keyword spotter's step as the drivers call it: the event's label and score.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define MODEL_IMPLEMENTATION
#include "model.h"

typedef struct {
    int32_t label, score;
} task_output;

static uint32_t task_step(model_state *s, const int16_t *pcm, task_output *output)
{
    model_event event;
    const int fired = model_process(s, pcm, &event);
    output->label = event.label;
    output->score = event.score;
    return (uint32_t)fired;
}

static int16_t *task_posteriors(model_state *s)
{
    return s->posteriors;
}

#include "driver.h"
