/* A beep detector's step as the drivers call it. */
#define MODEL_IMPLEMENTATION
#include "model.h"

typedef struct {
    int16_t beeps;
} task_output;

static uint32_t task_step(model_state *s, const int16_t *pcm, task_output *output)
{
    output->beeps = (int16_t)model_process(s, pcm);
    return (uint32_t)output->beeps;
}

static int16_t *task_posteriors(model_state *s)
{
    return s->posteriors;
}

#include "driver.h"
