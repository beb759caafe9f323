/* Test firmware of a keyword spotter; see harness.h. Of each step it writes features, logits, posteriors and carried state.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define KWS_IMPLEMENTATION
#include "model.h"

#include "board.h"

static kws_state state;
static int16_t pcm[KWS_HOP];

#include "harness.h"

static uint32_t self_test(void)
{
    return (uint32_t)kws_self_test(&state, pcm);
}

static void reset(void)
{
    kws_reset(&state);
}

static uint32_t step(void)
{
    kws_event event;
    return (uint32_t)kws_process(&state, pcm, &event);
}

static uint32_t dump(int fd)
{
    uint32_t bytes = board_write(fd, state.features, sizeof state.features);
    bytes += board_write(fd, state.logits, sizeof state.logits);
    bytes += board_write(fd, state.posteriors, sizeof state.posteriors);
    return bytes + board_write(fd, &state.net, sizeof state.net);
}
