/* startup/board.h by Linux's own files, so that the test firmware of a board is a program here. Stack is not measured, instructions
 * are by the emulator alone. SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "board.h"

#include <fcntl.h>
#include <unistd.h>

int board_open(const char *path, int write)
{
    return write ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644) : open(path, O_RDONLY);
}

uint32_t board_read(int fd, void *buf, uint32_t n)
{
    const ssize_t got = read(fd, buf, n);
    return got < 0 ? 0u : (uint32_t)got;
}

uint32_t board_write(int fd, const void *buf, uint32_t n)
{
    const ssize_t put = write(fd, buf, n);
    return put < 0 ? 0u : (uint32_t)put;
}

/* The kernel keeps the arguments, each with a zero behind it; the first is the program. */
uint32_t board_cmdline(char *buf, uint32_t n)
{
    const int fd = open("/proc/self/cmdline", O_RDONLY);
    uint32_t got, from = 0, i;
    if (fd < 0) {
        return 0;
    }
    got = board_read(fd, buf, n);
    (void)close(fd);
    while (from < got && buf[from] != '\0') {
        from++;
    }
    if (got == n || got < from + 2u) {
        return 0;
    }
    for (i = from + 1u; i < got; i++) {
        buf[i - from - 1u] = buf[i] == '\0' ? ' ' : buf[i];
    }
    buf[got - from - 2u] = '\0';
    return got - from - 2u;
}

void board_stack_paint(void)
{
}

uint32_t board_stack_used(void)
{
    return 0;
}

/* Where the emulator begins to count, and ends: two places, which the compiler must not make one of. */
void board_count_start(void)
{
    __asm__ __volatile__("" : : "r"(1));
}

void board_count_stop(void)
{
    __asm__ __volatile__("" : : "r"(2));
}
