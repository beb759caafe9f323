/* Test firmware of a denoiser; see harness.h. Of each step it writes the denoised samples, features, logits, gains and carried
 * state.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define DN_IMPLEMENTATION
#include "denoise.h"

#include "board.h"

static dn_state state;
static int16_t pcm[DN_HOP];

#include "harness.h"

static uint32_t self_test(void)
{
    return (uint32_t)dn_self_test(&state, pcm);
}

static void reset(void)
{
    dn_reset(&state);
}

static uint32_t step(void)
{
    dn_process(&state, pcm, pcm);
    return 0;
}

static uint32_t dump(int fd)
{
    uint32_t bytes = board_write(fd, pcm, sizeof pcm);
    bytes += board_write(fd, state.features, sizeof state.features);
    bytes += board_write(fd, state.logits, sizeof state.logits);
    bytes += board_write(fd, state.gains, sizeof state.gains);
    return bytes + board_write(fd, &state.net, sizeof state.net);
}
