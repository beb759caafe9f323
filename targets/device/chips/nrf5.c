/* Nordic nRF51 and nRF52: 16 or 64 MHz without asking, UART0, GPIO port 0. Product specifications: UART, GPIO, CLOCK.
 * DEVICE_TX: pin of the serial line. DEVICE_LED, DEVICE_LED_ON: pin of the light and its lit level. DEVICE_LED_SINK: a pin
 * to hold at the other level (a matrix), or 32. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define CLOCK 0x40000000u
#define UART 0x40002000u
#define GPIO 0x50000500u

static void level(uint32_t pin, uint32_t high)
{
    DEVICE_REGISTER(GPIO + (high != 0u ? 0x08u : 0x0Cu)) = 1u << pin; /* OUTSET, OUTCLR */
}

void device_init(void)
{
    DEVICE_REGISTER(CLOCK) = 1u; /* HFCLKSTART: the crystal, so that the baud rate is right */
    (void)device_wait(CLOCK + 0x100u, 1u, 1u);
    level(DEVICE_TX, 1u);
    DEVICE_REGISTER(GPIO + 0x18u) = (1u << DEVICE_TX) | (1u << DEVICE_LED); /* DIRSET */
#if DEVICE_LED_SINK < 32
    level(DEVICE_LED_SINK, DEVICE_LED_ON == 0);
    DEVICE_REGISTER(GPIO + 0x18u) = 1u << DEVICE_LED_SINK;
#endif
    DEVICE_REGISTER(UART + 0x50Cu) = DEVICE_TX;   /* PSELTXD */
    DEVICE_REGISTER(UART + 0x524u) = 0x01D7E000u; /* BAUDRATE: 115200 */
    DEVICE_REGISTER(UART + 0x500u) = 4u;          /* ENABLE */
    DEVICE_REGISTER(UART + 0x008u) = 1u;          /* STARTTX */
    device_pin(0);
}

void device_put(char c)
{
    DEVICE_REGISTER(UART + 0x11Cu) = 0u; /* TXDRDY */
    DEVICE_REGISTER(UART + 0x51Cu) = (uint8_t)c;
    (void)device_wait(UART + 0x11Cu, 1u, 1u);
}

void device_pin(int on)
{
    level(DEVICE_LED, on != 0 ? DEVICE_LED_ON : !DEVICE_LED_ON);
}
