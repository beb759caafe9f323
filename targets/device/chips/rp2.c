/* Raspberry Pi RP2040 and RP2350: crystal of 12 MHz, PLL, UART0 on GP0. Data sheets: clocks, PLL, resets, IO bank, UART.
 * DEVICE_RP2350: which of the two. DEVICE_LED: pin of the light. DEVICE_MHZ: 125 or 150. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#if DEVICE_RP2350
#define RESETS 0x40020000u
#define CLOCKS 0x40010000u
#define XOSC 0x40048000u
#define PLL 0x40050000u
#define IO 0x40028000u
#define PADS 0x40038000u
#define UART 0x40070000u
#define RESET_UART (1u << 26)
#define RESET_PLL (1u << 14)
#define RESET_IO ((1u << 6) | (1u << 9))
#define SIO_OUT_SET 0xD0000018u
#define SIO_OUT_CLEAR 0xD0000020u
#define SIO_OE_SET 0xD0000038u
#else
#define RESETS 0x4000C000u
#define CLOCKS 0x40008000u
#define XOSC 0x40024000u
#define PLL 0x40028000u
#define IO 0x40014000u
#define PADS 0x4001C000u
#define UART 0x40034000u
#define RESET_UART (1u << 22)
#define RESET_PLL (1u << 12)
#define RESET_IO ((1u << 5) | (1u << 8))
#define SIO_OUT_SET 0xD0000014u
#define SIO_OUT_CLEAR 0xD0000018u
#define SIO_OE_SET 0xD0000024u
#endif
#define CLEAR 0x3000u /* an address this far on clears the bits that are written */
#define FUNCTION_UART 2u
#define FUNCTION_SIO 5u

/* 12 MHz * 125 = 1500 MHz, divided by 6 and 2 (125 MHz) or by 5 and 2 (150 MHz). */
#define FEEDBACK 125u
#define POSTDIV ((DEVICE_MHZ == 125 ? 6u : 5u) << 16 | 2u << 12)

static void release(uint32_t blocks)
{
    DEVICE_REGISTER(RESETS + CLEAR) = blocks;
    (void)device_wait(RESETS + 8u, blocks, blocks);
}

static void pin_function(uint32_t pin, uint32_t function)
{
    DEVICE_REGISTER(PADS + CLEAR + 4u + 4u * pin) = 0x180u; /* output enabled; RP2350 also: not isolated */
    DEVICE_REGISTER(IO + 8u * pin + 4u) = function;
}

static void clocks(void)
{
    DEVICE_REGISTER(XOSC) = 0xAA0u;        /* CTRL: 1 to 15 MHz */
    DEVICE_REGISTER(XOSC + 0x0Cu) = 47u;   /* STARTUP: 1 ms */
    DEVICE_REGISTER(XOSC) = 0xFABAA0u;     /* on */
    (void)device_wait(XOSC + 4u, 1u << 31, 1u << 31);
    DEVICE_REGISTER(CLOCKS + 0x30u) = 2u;  /* CLK_REF from the crystal */
    (void)device_wait(CLOCKS + 0x38u, 1u << 2, 1u << 2);
    DEVICE_REGISTER(CLOCKS + 0x3Cu) = 0u;  /* CLK_SYS from CLK_REF while the PLL is set */
    (void)device_wait(CLOCKS + 0x44u, 1u, 1u);
    release(RESET_PLL);
    DEVICE_REGISTER(PLL) = 1u;             /* CS: no division of the reference */
    DEVICE_REGISTER(PLL + 8u) = FEEDBACK;
    DEVICE_REGISTER(PLL + 4u + CLEAR) = 0x21u; /* power: the PLL and its oscillator */
    (void)device_wait(PLL, 1u << 31, 1u << 31);
    DEVICE_REGISTER(PLL + 0x0Cu) = POSTDIV;
    DEVICE_REGISTER(PLL + 4u + CLEAR) = 8u;    /* power: the dividers */
    DEVICE_REGISTER(CLOCKS + 0x3Cu) = 1u;      /* CLK_SYS from its auxiliary source, the PLL */
    (void)device_wait(CLOCKS + 0x44u, 2u, 2u);
    DEVICE_REGISTER(CLOCKS + 0x48u) = 0x800u;  /* CLK_PERI on, from CLK_SYS */
}

void device_init(void)
{
    release(RESET_IO);
    clocks();
    release(RESET_UART);
    /* divisor in 64ths: MHz * 10^6 * 4 / 115200, rounded */
    DEVICE_REGISTER(UART + 0x24u) = (DEVICE_MHZ * 4000000u + 57600u) / 115200u >> 6;
    DEVICE_REGISTER(UART + 0x28u) = (DEVICE_MHZ * 4000000u + 57600u) / 115200u & 63u;
    DEVICE_REGISTER(UART + 0x2Cu) = 0x70u;     /* 8 bits, with FIFO */
    DEVICE_REGISTER(UART + 0x30u) = 0x301u;    /* on, both ways */
    pin_function(0u, FUNCTION_UART);
    DEVICE_REGISTER(SIO_OE_SET) = 1u << DEVICE_LED;
    pin_function(DEVICE_LED, FUNCTION_SIO);
    device_pin(0);
}

void device_put(char c)
{
    (void)device_wait(UART + 0x18u, 1u << 5, 0u); /* FIFO full */
    DEVICE_REGISTER(UART) = (uint8_t)c;
}

void device_pin(int on)
{
    DEVICE_REGISTER(on != 0 ? SIO_OUT_SET : SIO_OUT_CLEAR) = 1u << DEVICE_LED;
}
