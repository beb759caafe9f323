/* What a harness may ask of the machine that runs it: the same for every chip family.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Files on the host, relative to the run's working directory (semihosting).
 * open: a descriptor >= 0, or -1; write = 0 reads an existing file, 1 creates or empties one.
 * length: bytes, or -1. read, write: bytes moved, 0..n. close: 0, or -1. */
int board_open(const char *path, int write);
int32_t board_length(int fd);
uint32_t board_read(int fd, void *buf, uint32_t n);
uint32_t board_write(int fd, const void *buf, uint32_t n);
int board_close(int fd);

/* The run's arguments, joined by single spaces and zero-terminated, into buf[n].
 * Bytes without the terminator; 0 when there are none or they do not fit. */
uint32_t board_cmdline(char *buf, uint32_t n);

/* Prints text as it is, no newline added. */
void board_puts(const char *text);

/* Ends the run; code is 0..255. main's return value does the same; a fault exits with 125. */
#define BOARD_EXIT_FAULT 125
#if defined(__GNUC__)
__attribute__((noreturn))
#endif
void board_exit(int code);

/* The stack of a call: paint, call, used; all three from one function.
 * used: most bytes ever taken below the caller's own frame since paint. */
void board_stack_paint(void);
uint32_t board_stack_used(void);

/* Instructions retired from the return of start to the entry of stop make one counted span. */
void board_count_start(void);
void board_count_stop(void);

#endif
