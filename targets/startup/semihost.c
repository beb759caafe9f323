/* Files, text, arguments and exit over Arm semihosting (version 2; RISC-V uses the same numbers).
 * SPDX-License-Identifier: Apache-2.0 */
#include "board.h"
#include "semihost.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_FLEN = 0x0C,
    SYS_GET_CMDLINE = 0x15,
    SYS_EXIT_EXTENDED = 0x20
};
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5 };
#define STOPPED_APPLICATION_EXIT 0x20026u

static uint32_t address(const void *p) { return (uint32_t)(uintptr_t)p; }

static uint32_t length(const char *text) {
    uint32_t n = 0;
    while (text[n] != '\0') {
        n++;
    }
    return n;
}

int board_open(const char *path, int write) {
    const uint32_t mode = write ? MODE_WRITE_BINARY : MODE_READ_BINARY;
    const uint32_t block[3] = {address(path), mode, length(path)};
    return (int)semihost_call(SYS_OPEN, block);
}

int32_t board_length(int fd) {
    const uint32_t block[1] = {(uint32_t)fd};
    return semihost_call(SYS_FLEN, block);
}

/* The host answers with the bytes it did NOT move. */
static uint32_t transfer(uint32_t operation, int fd, const void *buf, uint32_t n) {
    const uint32_t block[3] = {(uint32_t)fd, address(buf), n};
    const uint32_t left = (uint32_t)semihost_call(operation, block);
    return left <= n ? n - left : 0;
}

uint32_t board_read(int fd, void *buf, uint32_t n) { return transfer(SYS_READ, fd, buf, n); }

uint32_t board_write(int fd, const void *buf, uint32_t n) { return transfer(SYS_WRITE, fd, buf, n); }

int board_close(int fd) {
    const uint32_t block[1] = {(uint32_t)fd};
    return (int)semihost_call(SYS_CLOSE, block);
}

uint32_t board_cmdline(char *buf, uint32_t n) {
    const uint32_t block[2] = {address(buf), n};
    if (n == 0) {
        return 0;
    }
    if (semihost_call(SYS_GET_CMDLINE, block) != 0) {
        buf[0] = '\0';
    }
    return length(buf);
}

void board_puts(const char *text) { (void)semihost_call(SYS_WRITE0, text); }

void board_exit(int code) {
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code & 0xFFu};
    for (;;) {
        (void)semihost_call(SYS_EXIT_EXTENDED, block);
    }
}
