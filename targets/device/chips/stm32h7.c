/* STM32H743: 64 MHz from the internal oscillator as it starts, USART3 on PD8 (the Nucleo's USB serial port), light on PB0.
 * Reference manual RM0433: RCC, GPIO, USART. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define RCC 0x58024400u
#define GPIOB 0x58020400u
#define GPIOD 0x58020C00u
#define USART 0x40004800u
#define HZ 64000000u
#define BAUD 115200u

void device_init(void)
{
    DEVICE_REGISTER(RCC + 0xE0u) |= 1u << 1 | 1u << 3; /* AHB4: GPIOB, GPIOD */
    DEVICE_REGISTER(RCC + 0xE8u) |= 1u << 18;          /* APB1: USART3 */
    DEVICE_REGISTER(GPIOB) = (DEVICE_REGISTER(GPIOB) & ~3u) | 1u;                         /* PB0 output */
    DEVICE_REGISTER(GPIOD) = (DEVICE_REGISTER(GPIOD) & ~(3u << 16)) | 2u << 16;           /* PD8 function */
    DEVICE_REGISTER(GPIOD + 0x24u) = (DEVICE_REGISTER(GPIOD + 0x24u) & ~15u) | 7u;        /* PD8: AF7 */
    DEVICE_REGISTER(USART + 0xCu) = (HZ + BAUD / 2u) / BAUD;
    DEVICE_REGISTER(USART) = 1u << 3 | 1u; /* transmitter, on */
    device_pin(0);
}

void device_put(char c)
{
    (void)device_wait(USART + 0x1Cu, 1u << 7, 1u << 7);
    DEVICE_REGISTER(USART + 0x28u) = (uint8_t)c;
}

void device_pin(int on)
{
    DEVICE_REGISTER(GPIOB + 0x18u) = on != 0 ? 1u : 1u << 16;
}
