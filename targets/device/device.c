/* The part of device.h that every chip shares. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define PATIENCE 200000u

int device_audio(int16_t *pcm, uint32_t n);
void device_sound(const int16_t *pcm, uint32_t n);

__attribute__((weak)) int device_audio(int16_t *pcm, uint32_t n)
{
    (void)pcm;
    (void)n;
    return 0;
}

__attribute__((weak)) void device_sound(const int16_t *pcm, uint32_t n)
{
    (void)pcm;
    (void)n;
}

__attribute__((weak)) void device_end(int code)
{
    (void)code;
    for (;;) {
    }
}

void device_text(const char *text)
{
    while (*text != '\0') {
        device_put(*text++);
    }
}

void device_number(int32_t value)
{
    char digits[12];
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value, n = sizeof digits - 1u;
    digits[n] = '\0';
    do {
        digits[--n] = (char)('0' + (char)(rest % 10u));
        rest /= 10u;
    } while (rest != 0u);
    if (value < 0) {
        digits[--n] = '-';
    }
    device_text(digits + n);
}

int device_wait(uintptr_t address, uint32_t mask, uint32_t wanted)
{
    uint32_t i;
    for (i = 0; i < PATIENCE; i++) {
        if ((DEVICE_REGISTER(address) & mask) == wanted) {
            return 1;
        }
    }
    return 0;
}
