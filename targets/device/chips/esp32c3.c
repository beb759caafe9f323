/* ESP32-C3: UART0 as the ROM left its pins, the USB serial port, light on DEVICE_LED. Technical reference manual: watchdogs
 * (TIMG, RTC_CNTL), SYSTEM, UART, USB Serial/JTAG, GPIO, IO MUX. SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define UART0 0x60000000u
#define GPIO 0x60004000u
#define RTC_CNTL 0x60008000u
#define IO_MUX 0x60009000u
#define TIMG0 0x6001F000u
#define TIMG1 0x60020000u
#define USB_SERIAL 0x60043000u
#define SYSTEM 0x600C0000u
#define WATCHDOG_KEY 0x50D83AA1u
#define SUPER_WATCHDOG_KEY 0x8F1D312Au
#define CRYSTAL_HZ 40000000u
#define BAUD 115200u

static void unlocked(uintptr_t lock, uint32_t key, uintptr_t address, uint32_t value)
{
    DEVICE_REGISTER(lock) = key;
    DEVICE_REGISTER(address) = value;
    DEVICE_REGISTER(lock) = 0;
}

/* The ROM leaves them running for a second stage, which would stop them. */
static void watchdogs_off(void)
{
    unlocked(RTC_CNTL + 0xA8u, WATCHDOG_KEY, RTC_CNTL + 0x90u, 0);
    unlocked(RTC_CNTL + 0xB0u, SUPER_WATCHDOG_KEY, RTC_CNTL + 0xACu, DEVICE_REGISTER(RTC_CNTL + 0xACu) | 1u << 31);
    unlocked(TIMG0 + 0x64u, WATCHDOG_KEY, TIMG0 + 0x48u, 0);
    unlocked(TIMG1 + 0x64u, WATCHDOG_KEY, TIMG1 + 0x48u, 0);
}

void device_init(void)
{
    watchdogs_off();
    DEVICE_REGISTER(SYSTEM + 0x08u) = (DEVICE_REGISTER(SYSTEM + 0x08u) & ~3u) | 1u << 2 | 1u;    /* 480 MHz PLL / 3 */
    DEVICE_REGISTER(SYSTEM + 0x58u) = (DEVICE_REGISTER(SYSTEM + 0x58u) & ~(3u << 10)) | 1u << 10; /* CPU from the PLL */
    DEVICE_REGISTER(UART0 + 0x78u) = 1u << 25 | 1u << 24 | 1u << 22 | 3u << 20;                   /* clocks on, from the crystal */
    DEVICE_REGISTER(UART0 + 0x14u) = CRYSTAL_HZ / BAUD | (CRYSTAL_HZ % BAUD * 16u / BAUD) << 20;
    DEVICE_REGISTER(IO_MUX + 4u + 4u * DEVICE_LED) = 2u << 10 | 1u << 12; /* pin as GPIO */
    DEVICE_REGISTER(GPIO + 0x554u + 4u * DEVICE_LED) = 128u;              /* its output register */
    device_pin(0);
    DEVICE_REGISTER(GPIO + 0x24u) = 1u << DEVICE_LED;
}

/* Without a host nobody empties the port: wait for it once, then only look. */
static void usb_put(char c)
{
    static int silent;
    silent = silent != 0 ? (DEVICE_REGISTER(USB_SERIAL + 4u) & 2u) == 0u : device_wait(USB_SERIAL + 4u, 2u, 2u) == 0;
    if (silent == 0) {
        DEVICE_REGISTER(USB_SERIAL) = (uint8_t)c;
        if (c == '\n') {
            DEVICE_REGISTER(USB_SERIAL + 4u) = 1u; /* send what is there */
        }
    }
}

void device_put(char c)
{
    usb_put(c);
    (void)device_wait(UART0 + 0x1Cu, 0x40u << 16, 0); /* fewer than 64 of 128 in the transmitter */
    DEVICE_REGISTER(UART0) = (uint8_t)c;
}

void device_pin(int on)
{
    DEVICE_REGISTER(GPIO + (on != 0 ? 0x08u : 0x0Cu)) = 1u << DEVICE_LED;
}
