/* A denoiser's step as the drivers call it: the denoised samples.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define MODEL_IMPLEMENTATION
#include "model.h"

typedef struct {
    int16_t pcm[MODEL_HOP];
} task_output;

static uint32_t task_step(model_state *s, const int16_t *pcm, task_output *output)
{
    model_process(s, pcm, output->pcm);
    return 0;
}

static int16_t *task_posteriors(model_state *s)
{
    return s->gains;
}

#include "driver.h"
