/* What the tests of `targets` run on every board: the first letter of the command line chooses. */
#include <stdint.h>

#include "board.h"

#define FAILED 99

int32_t probe_work(const int16_t *x, int32_t n);
int probe_unaligned(const uint8_t *bytes);
uint32_t probe_stack(uint32_t n);
uint32_t probe_recursion(volatile uint32_t *depth);
int main(void);

static uint32_t initial = 0x1234;
static uint32_t zeroed;
static uint8_t buffer[256];
static int16_t samples[64];

/* Branches, predication, 64-bit products and divisions: what compilers turn into IT blocks and calls. */
__attribute__((noinline)) int32_t probe_work(const int16_t *x, int32_t n) {
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t v = x[i] < -20000 ? -20000 : x[i];
        sum += (int64_t)v * (v > 100 ? v : 3);
        if (i % 7 == 3 && v < 0) {
            sum /= 3;
        }
    }
    return (int32_t)(sum >> 8);
}

__attribute__((noinline)) int probe_unaligned(const uint8_t *bytes) {
    return (int)*(const volatile uint32_t *)(const volatile void *)(bytes + 1) & 0;
}

__attribute__((noinline)) uint32_t probe_stack(uint32_t n) {
    volatile uint32_t frame[100];
    for (uint32_t i = 0; i < 100; i++) {
        frame[i] = i;
    }
    return frame[n];
}

/* Ends with the stack: depth never reaches 0 within any board's RAM. */
__attribute__((noinline)) uint32_t probe_recursion(volatile uint32_t *depth) {
    volatile uint32_t deeper = *depth - 1;
    return *depth == 0 ? 0 : probe_recursion(&deeper) + deeper;
}

/* in.bin, bytes inverted, becomes out.bin. */
static int copy(void) {
    const int in = board_open("in.bin", 0);
    const int out = board_open("out.bin", 1);
    const int32_t length = board_length(in);
    int32_t copied = 0;
    uint32_t n;
    if (in < 0 || out < 0 || board_open("absent.bin", 0) != -1) {
        return FAILED;
    }
    while ((n = board_read(in, buffer, sizeof buffer)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            buffer[i] = (uint8_t)(buffer[i] ^ 0xFFu);
        }
        copied += (int32_t)board_write(out, buffer, n);
    }
    return board_close(in) == 0 && board_close(out) == 0 && copied == length ? 0 : FAILED;
}

static int count(void) {
    volatile int32_t sink;
    for (int32_t i = 0; i < 64; i++) {
        samples[i] = (int16_t)((i * 7919) % 65536 - 32768);
    }
    board_count_start();
    board_count_stop();
    for (int32_t n = 16; n <= 64; n *= 2) {
        board_count_start();
        sink = probe_work(samples, n);
        board_count_stop();
    }
    return sink == 0;
}

static int stack(void) {
    board_stack_paint();
    const uint32_t nothing = board_stack_used();
    (void)probe_stack(5);
    const uint32_t used = board_stack_used();
    return nothing == 0 ? (int)(used / 4) : FAILED;
}

int main(void) {
    char line[64];
    (void)board_cmdline(line, sizeof line);
    if (initial++ != 0x1234 || zeroed++ != 0) {
        return FAILED;
    }
    switch (line[0]) {
    case 'e':
        board_puts(line);
        return 42;
    case 'f':
        return copy();
    case 'n':
        return count();
    case 's':
        return stack();
    case 'r':
        zeroed = UINT32_MAX;
        return (int)probe_recursion(&zeroed);
    case 'u':
        return probe_unaligned(buffer);
    case 'l':
        for (;;) {
        }
    default:
        return line[0] == '\0' ? 7 : FAILED;
    }
}
