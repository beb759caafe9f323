/* STM32L4: 80 MHz from the internal oscillator, USART2 on PA2 (the Nucleo's USB serial port), light on PA5.
 * Reference manual RM0351: RCC, FLASH, GPIO, USART. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define RCC 0x40021000u
#define FLASH_ACR 0x40022000u
#define GPIOA 0x48000000u
#define USART 0x40004400u
#define BAUD 115200u

/* 16 MHz * 10 / 2 = 80 MHz; 1 if the PLL runs. */
static int fast(void)
{
    DEVICE_REGISTER(RCC) |= 1u << 8; /* HSION */
    if (!device_wait(RCC, 1u << 10, 1u << 10)) {
        return 0;
    }
    DEVICE_REGISTER(RCC + 0x0Cu) = 2u | 10u << 8 | 1u << 24; /* PLLCFGR: HSI, M = 1, N = 10, R = 2 and on */
    DEVICE_REGISTER(RCC) |= 1u << 24;                        /* PLLON */
    if (!device_wait(RCC, 1u << 25, 1u << 25)) {
        return 0;
    }
    DEVICE_REGISTER(FLASH_ACR) = 0x704u;                     /* four wait states; caches and prefetch */
    DEVICE_REGISTER(RCC + 8u) |= 3u;
    return device_wait(RCC + 8u, 0xCu, 0xCu);
}

void device_init(void)
{
    const uint32_t hz = fast() ? 80000000u : 4000000u;
    DEVICE_REGISTER(RCC + 0x4Cu) |= 1u;       /* AHB2: GPIOA */
    DEVICE_REGISTER(RCC + 0x58u) |= 1u << 17; /* APB1: USART2 */
    DEVICE_REGISTER(GPIOA) = (DEVICE_REGISTER(GPIOA) & ~(3u << 4 | 3u << 10)) | 2u << 4 | 1u << 10; /* PA2 function, PA5 output */
    DEVICE_REGISTER(GPIOA + 0x20u) = (DEVICE_REGISTER(GPIOA + 0x20u) & ~(15u << 8)) | 7u << 8;      /* PA2: AF7 */
    DEVICE_REGISTER(USART + 0xCu) = (hz + BAUD / 2u) / BAUD;
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
    DEVICE_REGISTER(GPIOA + 0x18u) = on != 0 ? 1u << 5 : 1u << 21;
}
