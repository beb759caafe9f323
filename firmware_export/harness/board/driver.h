/* The test firmware of every task: it reads a WAV file from the host, runs every step, writes everything computed back.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Arguments: WAV OUT [count]. OUT gets of each step the task's output, features, logits, posteriors and carried state;
 * "OUT.sum" gets five uint32: self-test result, steps, events, stack bytes of one step, bytes a step wrote. With "count" each
 * step is one counted span and nothing is written but the sum.
 *
 * The including file is a task's harness, see host/driver.h.
 */
#include "board.h"

static model_state state;
static int16_t pcm[MODEL_HOP];
static task_output output;

static uint32_t dump(int fd)
{
    uint32_t bytes = board_write(fd, &output, sizeof output);
    bytes += board_write(fd, state.features, sizeof state.features);
    bytes += board_write(fd, state.logits, sizeof state.logits);
    bytes += board_write(fd, task_posteriors(&state), sizeof state.logits);
    return bytes + board_write(fd, &state.net, sizeof state.net);
}

/* Cut the command line at spaces; returns the number of words. */
static uint32_t split(char *line, char **words, uint32_t most)
{
    uint32_t n = 0;
    while (*line != '\0' && n < most) {
        words[n++] = line;
        while (*line != '\0' && *line != ' ') {
            line++;
        }
        if (*line == ' ') {
            *line++ = '\0';
        }
    }
    return n;
}

static uint32_t little32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

/* Leave the file at the first sample; returns 0 when there is none. */
static int find_samples(int fd)
{
    uint8_t header[12], chunk[8], skipped;
    uint32_t bytes;
    if (board_read(fd, header, 12) != 12u || header[0] != 'R' || header[8] != 'W') {
        return 0;
    }
    while (board_read(fd, chunk, 8) == 8u) {
        if (chunk[0] == 'd' && chunk[1] == 'a') {
            return 1;
        }
        for (bytes = little32(chunk + 4); bytes > 0u; bytes--) {
            (void)board_read(fd, &skipped, 1);
        }
    }
    return 0;
}

int main(void)
{
    static char line[160], sum_name[72];
    char *words[3] = { 0, 0, 0 };
    uint32_t sum[5] = { 0, 0, 0, 0, 0 }, n, i;
    int wav, out = -1;

    if (board_cmdline(line, sizeof line) == 0u) {
        return 2;
    }
    n = split(line, words, 3);
    wav = n >= 2u ? board_open(words[0], 0) : -1;
    if (wav < 0 || !find_samples(wav)) {
        return 3;
    }
    if (n == 2u) {
        out = board_open(words[1], 1);
        sum[0] = (uint32_t)model_self_test(&state, pcm);
    }
    model_reset(&state);
    while (board_read(wav, pcm, sizeof pcm) == sizeof pcm) {
        if (sum[1] == 0u) {
            board_stack_paint();
        }
        board_count_start();
        sum[2] += task_step(&state, pcm, &output);
        board_count_stop();
        if (sum[1] == 0u) {
            sum[3] = board_stack_used();
        }
        if (out >= 0) {
            sum[4] = dump(out);
        }
        sum[1]++;
    }
    for (i = 0; words[1][i] != '\0' && i + 5u < sizeof sum_name; i++) {
        sum_name[i] = words[1][i];
    }
    ern_copy(sum_name + i, ".sum", 5);
    out = board_open(sum_name, 1);
    return board_write(out, sum, sizeof sum) == sizeof sum ? 0 : 4;
}
