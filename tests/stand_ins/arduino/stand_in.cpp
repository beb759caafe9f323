/* Stand-in: samples come from standard input in pieces of 300, each while the sketch waits; the sketch ends with them.
 * STAND_IN_LATE in the environment: bytes of a piece instead. */
#include <Arduino.h>
#include <PDM.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SerialStandIn Serial;
PDMClass PDM;

static int16_t piece[20000];
static size_t filled, taken; /* bytes */
static void (*received)(void);
static bool started;

void SerialStandIn::begin(unsigned long) {}
size_t SerialStandIn::print(const char *text) { return (size_t)printf("%s", text); }
size_t SerialStandIn::print(long value) { return (size_t)printf("%ld", value); }
size_t SerialStandIn::println(const char *text) { return (size_t)printf("%s\n", text); }

void pinMode(int, int) {}
void digitalWrite(int, int) {}
void delay(unsigned long) { exit(3); /* a sketch that stops says why again and again */ }

int PDMClass::begin(int channels, int rate)
{
    started = channels == 1 && rate == 16000;
    return started;
}
int PDMClass::available() { return (int)(filled - taken); }
int PDMClass::read(void *buffer, size_t bytes)
{
    memcpy(buffer, (char *)piece + taken, bytes);
    taken += bytes;
    return (int)bytes;
}
void PDMClass::onReceive(void (*callback)(void)) { received = callback; }

void yield()
{
    const char *const late = getenv("STAND_IN_LATE");
    filled = fread(piece, 1, late != NULL ? (size_t)atoi(late) : 600, stdin);
    taken = 0;
    if (filled == 0 || !started) {
        exit(started ? 0 : 4);
    }
    received();
}

int main()
{
    setup();
    for (;;) {
        loop();
    }
}
