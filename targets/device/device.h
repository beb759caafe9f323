/* What an application asks of its chip; one file of chips/ answers. All calls come from the main loop.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdint.h>

/* Clocks, console, pin. The console is a serial line of 115200 baud, 8N1, on an emulator its standard output. */
void device_init(void);

/* One character to the console; waits until there is room. */
void device_put(char c);

/* The board's light or pin: 1 while something is heard. */
void device_pin(int on);

/* YOUR MICROPHONE: fill pcm with the next n samples, int16 at the model's rate, and return 1; wait until they are there.
 * 0 ends the application. The one that comes along returns 0 at once: define your own in any C file of the build. */
int device_audio(int16_t *pcm, uint32_t n);

/* YOUR LOUDSPEAKER, for models that give sound. The one that comes along does nothing. */
void device_sound(const int16_t *pcm, uint32_t n);

/* Nothing is left to do: waits for a reset; on an emulator it ends with this exit code. */
void device_end(int code);

/* From here on the same for every chip. */
void device_text(const char *text);
void device_number(int32_t value);

/* A register of the chip. */
#define DEVICE_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Wait until mask's bits of a register are as wanted; gives up after a while, so that no missing crystal stops everything. */
int device_wait(uintptr_t address, uint32_t mask, uint32_t wanted);

#endif
