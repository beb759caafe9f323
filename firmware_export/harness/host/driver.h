/* What the host's simulator shares: whole streams and single steps through the generated C, called from Python.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * The including file is a task's harness: the header exported with the prefix `model`, and
 *
 *   task_output                       what one step gives, without holes
 *   task_step(state, pcm, output)     one step; returns the number of events
 *   task_posteriors(state)            where the step's posteriors lie
 */
#include <stddef.h>

/* One stream with the buffers of its last step; the host lays NumPy arrays over them once and then only calls. */
typedef struct {
    model_state state;
    int16_t pcm[MODEL_HOP];
    task_output output;
} sim_stream;

size_t sim_bytes(void);
size_t sim_offset(int what);
void sim_reset(sim_stream *s);
void sim_step(sim_stream *s);
void sim_net_step(sim_stream *s);
void sim_features(sim_stream *s, const int16_t *pcm, size_t steps, int16_t *features);
void sim_net(sim_stream *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *posteriors, uint8_t *net);
void sim_run(sim_stream *s, const int16_t *pcm, size_t steps, int16_t *features, int16_t *logits, int16_t *posteriors,
             uint8_t *net, task_output *output);
void sim_process(sim_stream *s, const int16_t *pcm, size_t steps, task_output *output);
int32_t sim_self_test(sim_stream *s);

size_t sim_bytes(void)
{
    return sizeof(sim_stream);
}

/* Where pcm (0), output (1), features (2), logits (3) and posteriors (4) lie in a sim_stream. */
size_t sim_offset(int what)
{
    static sim_stream s;
    const void *const places[5] = { s.pcm, &s.output, s.state.features, s.state.logits, task_posteriors(&s.state) };
    return (size_t)((const unsigned char *)places[what] - (const unsigned char *)&s);
}

void sim_reset(sim_stream *s)
{
    model_reset(&s->state);
}

void sim_step(sim_stream *s)
{
    (void)task_step(&s->state, s->pcm, &s->output);
}

void sim_net_step(sim_stream *s)
{
    model_net_step(&s->state);
}

static void keep_features(const model_state *s, size_t step, int16_t *features)
{
    size_t i;
    for (i = 0; i < MODEL_FRAMES * MODEL_BANDS; i++) {
        features[step * MODEL_FRAMES * MODEL_BANDS + i] = s->features[i];
    }
}

static void keep_scores(model_state *s, size_t step, int16_t *logits, int16_t *posteriors, uint8_t *net)
{
    ern_copy(logits + step * MODEL_SCORES, s->logits, sizeof s->logits);
    ern_copy(posteriors + step * MODEL_SCORES, task_posteriors(s), sizeof s->logits);
    ern_copy(net + step * sizeof s->net, &s->net, sizeof s->net);
}

void sim_features(sim_stream *s, const int16_t *pcm, size_t steps, int16_t *features)
{
    size_t step;
    for (step = 0; step < steps; step++) {
        model_features(&s->state, pcm + step * MODEL_HOP);
        keep_features(&s->state, step, features);
    }
}

void sim_net(sim_stream *s, const int16_t *features, size_t steps, int16_t *logits, int16_t *posteriors, uint8_t *net)
{
    size_t step, i;
    for (step = 0; step < steps; step++) {
        for (i = 0; i < MODEL_FRAMES * MODEL_BANDS; i++) {
            s->state.features[i] = (model_feature)features[step * MODEL_FRAMES * MODEL_BANDS + i];
        }
        model_net_step(&s->state);
        keep_scores(&s->state, step, logits, posteriors, net);
    }
}

void sim_run(sim_stream *s, const int16_t *pcm, size_t steps, int16_t *features, int16_t *logits, int16_t *posteriors,
             uint8_t *net, task_output *output)
{
    size_t step;
    for (step = 0; step < steps; step++) {
        (void)task_step(&s->state, pcm + step * MODEL_HOP, output + step);
        keep_features(&s->state, step, features);
        keep_scores(&s->state, step, logits, posteriors, net);
    }
}

void sim_process(sim_stream *s, const int16_t *pcm, size_t steps, task_output *output)
{
    size_t step;
    for (step = 0; step < steps; step++) {
        (void)task_step(&s->state, pcm + step * MODEL_HOP, output + step);
    }
}

int32_t sim_self_test(sim_stream *s)
{
    return model_self_test(&s->state, s->pcm);
}
