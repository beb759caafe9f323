/* ESP32-C3, "direct boot": its ROM finds the two words at the start of flash, maps 4 MiB of it for instructions at 0x42000000
 * and for loads at 0x3C000000, and jumps behind them. No second stage, no partitions. SPDX-License-Identifier: Apache-2.0 */
    .section .boot, "ax", %progbits
    .word 0xAEDB041D, 0xAEDB041D
    .globl direct_boot
    .type direct_boot, %function
direct_boot:
    tail board_reset
