/* What RP2350's boot ROM looks for in the first 4 KiB: a block that says "an executable for Arm, secure". The vectors are at
 * the start of flash, so nothing else has to be said. Data sheet, "Minimum viable image metadata".
 * SPDX-License-Identifier: Apache-2.0 */
    .section .start.image, "a", %progbits
    .balign 4
    .word 0xFFFFDED3, 0x10210142, 0x000001FF, 0x00000000, 0xAB123579
