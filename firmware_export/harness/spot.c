/* A keyword spotter's step as the drivers call it: the event's label and score, how long ago it fired, whether it is over.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define MODEL_IMPLEMENTATION
#include "model.h"

typedef struct {
    int32_t label, score, age, over;
} task_output;

static uint32_t task_step(model_state *s, const int16_t *pcm, task_output *output)
{
    model_event event;
    const int told = model_process(s, pcm, &event);
    output->label = event.label;
    output->score = event.score;
    output->age = (int32_t)(s->decider.step - 1u - event.step);
    output->over = (told & ERN_OVER) != 0;
    return (told & ERN_FIRED) != 0 ? 1u : 0u;
}

static int16_t *task_posteriors(model_state *s)
{
    return s->posteriors;
}

#include "driver.h"
