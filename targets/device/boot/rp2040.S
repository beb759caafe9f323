/* Second stage of RP2040's boot: its ROM copies these 252 bytes to RAM, checks the CRC-32 behind them and jumps here. Sets the
 * flash interface to plain serial reads (command 03h, which every flash chip knows) and starts the program behind.
 * Data sheet, "Boot sequence" and "SSI". The CRC is put in when the image is made. SPDX-License-Identifier: Apache-2.0 */
    .syntax unified
    .thumb
    .cpu cortex-m0plus

    .section .boot, "ax", %progbits
    .globl device_boot
    .type device_boot, %function
    .thumb_func
device_boot:
    ldr r3, =0x18000000           /* SSI */
    movs r1, #0
    str r1, [r3, #0x08]           /* off while it is set */
    movs r1, #4
    str r1, [r3, #0x14]           /* clock divider */
    ldr r1, =0x001F0300           /* CTRLR0: frames of 32 bits, read after command */
    str r1, [r3, #0x00]
    ldr r1, =0x03000218           /* SPI_CTRLR0: command 03h, 8 bits of it, 24 of address, one line */
    ldr r0, =0x180000F4
    str r1, [r0]
    movs r1, #0
    str r1, [r3, #0x04]           /* one frame a read */
    movs r1, #1
    str r1, [r3, #0x08]
    ldr r0, =0x10000100           /* the vectors: VTOR, stack, reset */
    ldr r1, =0xE000ED08
    str r0, [r1]
    ldr r1, [r0]
    msr msp, r1
    ldr r1, [r0, #4]
    bx r1
    .ltorg
    .org 252
    .word 0                       /* CRC-32 */
