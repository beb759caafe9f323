/* STM32F4: 96 MHz from the internal oscillator, USART2 on PA2 (the Nucleo's USB serial port), light on PA5.
 * Reference manuals RM0383, RM0390: RCC, FLASH, GPIO, USART. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define RCC 0x40023800u
#define FLASH_ACR 0x40023C00u
#define GPIOA 0x40020000u
#define USART 0x40004400u
#define APB1_HZ_FAST 48000000u
#define APB1_HZ_SLOW 16000000u
#define BAUD 115200u

/* 16 MHz / 8 * 96 / 2 = 96 MHz; 1 if the PLL runs. */
static int fast(void)
{
    DEVICE_REGISTER(RCC + 4u) = 8u | 96u << 6 | 4u << 24; /* PLLCFGR: M, N, P = 2, internal oscillator, Q */
    DEVICE_REGISTER(RCC) |= 1u << 24;                     /* PLLON */
    if (!device_wait(RCC, 1u << 25, 1u << 25)) {
        return 0;
    }
    DEVICE_REGISTER(FLASH_ACR) = 0x703u;                  /* three wait states; caches and prefetch */
    DEVICE_REGISTER(RCC + 8u) = 4u << 10 | 2u;            /* APB1 halved, SYSCLK from the PLL */
    return device_wait(RCC + 8u, 0xCu, 8u);
}

void device_init(void)
{
    const uint32_t hz = fast() ? APB1_HZ_FAST : APB1_HZ_SLOW;
    DEVICE_REGISTER(RCC + 0x30u) |= 1u;       /* AHB1: GPIOA */
    DEVICE_REGISTER(RCC + 0x40u) |= 1u << 17; /* APB1: USART2 */
    DEVICE_REGISTER(GPIOA) = (DEVICE_REGISTER(GPIOA) & ~(3u << 4 | 3u << 10)) | 2u << 4 | 1u << 10; /* PA2 function, PA5 output */
    DEVICE_REGISTER(GPIOA + 0x20u) = (DEVICE_REGISTER(GPIOA + 0x20u) & ~(15u << 8)) | 7u << 8;      /* PA2: AF7 */
    DEVICE_REGISTER(USART + 8u) = (hz + BAUD / 2u) / BAUD;
    DEVICE_REGISTER(USART + 0xCu) = 1u << 13 | 1u << 3; /* on, transmitter */
    device_pin(0);
}

void device_put(char c)
{
    (void)device_wait(USART, 1u << 7, 1u << 7); /* transmit register empty */
    DEVICE_REGISTER(USART + 4u) = (uint8_t)c;
}

void device_pin(int on)
{
    DEVICE_REGISTER(GPIOA + 0x18u) = on != 0 ? 1u << 5 : 1u << 21;
}
