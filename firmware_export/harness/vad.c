/* A voice-activity detector's step as the drivers call it: whether there is speech.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define MODEL_IMPLEMENTATION
#include "model.h"

typedef struct {
    int16_t active;
} task_output;

static uint32_t task_step(model_state *s, const int16_t *pcm, task_output *output)
{
    const uint16_t before = s->active;
    output->active = (int16_t)model_process(s, pcm);
    return output->active != 0 && before == 0u ? 1u : 0u;
}

static int16_t *task_posteriors(model_state *s)
{
    return s->posteriors;
}

#include "driver.h"
