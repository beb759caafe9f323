/* Emulated boards: the console is the emulator's, there is no pin. SPDX-License-Identifier: Apache-2.0 */
#include "board.h"
#include "device.h"

void device_init(void) {}

void device_put(char c)
{
    const char text[2] = { c, '\0' };
    board_puts(text);
}

void device_pin(int on)
{
    (void)on;
}

void device_end(int code)
{
    board_exit(code);
}
