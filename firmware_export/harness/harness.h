/* What the test firmwares share: they read a WAV file from the host, run every step, write everything computed back.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Arguments: WAV OUT [count]. OUT gets what `dump` writes of each step; "OUT.sum" gets five uint32: self-test result, steps,
 * events, stack bytes of one step, bytes a step wrote. With "count" each step is one counted span and nothing is written but
 * the sum.
 *
 * The including file has defined `pcm`, the array of one step's samples, and these four:
 */
static uint32_t self_test(void);    /* 0 when it passes */
static void reset(void);
static uint32_t step(void);         /* process pcm; returns the number of events */
static uint32_t dump(int fd);       /* write what the step computed; returns bytes */

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
    static char line[160], sum_name[80];
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
        sum[0] = self_test();
    }
    reset();
    while (board_read(wav, pcm, sizeof pcm) == sizeof pcm) {
        if (sum[1] == 0u) {
            board_stack_paint();
        }
        board_count_start();
        sum[2] += step();
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
