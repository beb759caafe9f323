/* See program.h. A static program cannot load ALSA's plugins, so ALSA is asked through `arecord`, which every machine with
 * alsa-utils has. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_ARECORD 127 /* what a shell says of a command that does not exist */

static const char *own_name = "edgernn";
static pid_t recorder; /* arecord's process; 0: sound comes from standard input */

static void help(const program_model *m)
{
    printf("usage: %s [--device NAME | --self-test | --help]\n\n", own_name);
    printf("The model %s, graph %s.\n", m->name, m->graph);
    printf("Reads sound from standard input: int16, little-endian, mono, %u Hz, without a header.\n%s\n\n", m->rate, m->says);
    printf("  arecord -q -f S16_LE -r %u -c 1 -t raw | %s", m->rate, own_name);
    if (m->sound) {
        printf(" | aplay -q -f S16_LE -r %u -c 1 -t raw", m->rate);
    }
    printf("\n\n");
    printf("  --device NAME  listen to an ALSA device, such as default or plughw:1,0, by starting arecord (alsa-utils)\n");
    printf("  --self-test    compute a known signal and tell whether all bits are right; exit 1 when not\n");
}

static int fail(const char *what, const char *which)
{
    fprintf(stderr, "%s: %s%s\n", own_name, what, which);
    return 2;
}

/* Start arecord, and let its sound be our standard input. */
static int start_recorder(const char *device, uint32_t rate)
{
    char number[12];
    int ends[2];
    (void)snprintf(number, sizeof number, "%u", rate);
    if (pipe(ends) != 0 || (recorder = fork()) < 0) {
        return fail("cannot start arecord: ", strerror(errno));
    }
    if (recorder == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execlp("arecord", "arecord", "-q", "-D", device, "-f", "S16_LE", "-r", number, "-c", "1", "-t", "raw", (char *)0);
        _exit(NO_ARECORD);
    }
    (void)dup2(ends[0], STDIN_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return -1;
}

static int self_test(const program_model *m, int tell)
{
    const int32_t failed = m->self_test();
    if (tell) {
        printf("edgernn %s\n", m->graph);
        printf(failed == 0 ? "self-test ok\n" : "self-test %d failed\n", (int)failed);
    } else if (failed != 0) {
        (void)fail("the self-test failed: this machine does not compute what the model's did", "");
    }
    return failed != 0;
}

int program_begin(int argc, char **argv, const program_model *m)
{
    own_name = argc > 0 ? argv[0] : own_name;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        help(m);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--self-test") == 0) {
        return self_test(m, 1);
    }
    if (argc != 1 && !(argc == 3 && strcmp(argv[1], "--device") == 0)) {
        return fail("unknown or incomplete option; see --help: ", argv[argc - 1]);
    }
    if (m->sound && isatty(STDOUT_FILENO)) {
        return fail("sound does not belong on a terminal; pipe it on, see --help", "");
    }
    if (argc == 1 && isatty(STDIN_FILENO)) {
        return fail("no sound comes from a terminal; pipe it in or give --device, see --help", "");
    }
    if (self_test(m, 0)) {
        return 1;
    }
    return argc == 3 ? start_recorder(argv[2], m->rate) : -1;
}

int program_read(int16_t *pcm, uint32_t n)
{
    return fread(pcm, sizeof *pcm, n, stdin) == n;
}

/* Whoever reads us must get it now; if it cannot be written, there is nothing left to do. */
static void flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        exit(fail("cannot write: ", strerror(errno)));
    }
}

void program_write(const int16_t *pcm, uint32_t n)
{
    (void)fwrite(pcm, sizeof *pcm, n, stdout);
    flush();
}

void program_line(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    (void)putchar('\n');
    flush();
}

int program_end(void)
{
    int status;
    if (recorder == 0) {
        return ferror(stdin) ? fail("cannot read: ", strerror(errno)) : 0;
    }
    if (waitpid(recorder, &status, 0) == recorder && WIFEXITED(status) && WEXITSTATUS(status) == NO_ARECORD) {
        return fail("arecord is missing; install alsa-utils", "");
    }
    return fail("arecord ended; see what it said above, and `arecord -L` for the devices there are", "");
}
