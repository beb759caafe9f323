/* What every program around a model shares on Linux: its options, sound in, lines and sound out.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdint.h>

/* The model in it. says: what the program prints, for --help; sound: whether it gives sound instead of lines. */
typedef struct {
    const char *name, *graph, *says;
    uint32_t rate;
    int sound;
    int32_t (*self_test)(void);
} program_model;

/* Read the options and run the self-test. -1: go on; else end with this exit code. */
int program_begin(int argc, char **argv, const program_model *model);

/* The next n samples, int16 mono at the model's rate, from standard input or from arecord; 0 at the end. */
int program_read(int16_t *pcm, uint32_t n);

/* Sound to standard output. */
void program_write(const int16_t *pcm, uint32_t n);

/* A line to standard output, at once. */
void program_line(const char *format, ...);

/* No more sound: the exit code. */
int program_end(void);

#endif
