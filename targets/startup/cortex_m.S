/* Cortex-M: vectors, reset, and what C cannot say. Thumb-1 only, so that every core runs it.
 * SPDX-License-Identifier: Apache-2.0 */
    .syntax unified
    .thumb

    .macro function name
    .section .text.\name, "ax", %progbits
    .balign 4
    .globl \name
    .type \name, %function
    .thumb_func
\name:
    .endm

    .section .start, "a", %progbits
    .word board_stack_top
    .word board_reset
    .rept 14
    .word fault
    .endr

    function board_reset
    ldr r0, =board_stack_top
    mov sp, r0
#if defined __ARM_FP || defined __ARM_FEATURE_MVE  /* CPACR: no FPU or vector instruction before this */
    ldr r0, =0xE000ED88
    ldr r1, =0x00F00000
    str r1, [r0]
    dsb
    isb
#endif
    bl board_boot
    .ltorg

    function fault
    ldr r0, =board_stack_top         /* the old one may be what failed */
    mov sp, r0
    bl board_fault
    .ltorg

    function semihost_call           /* r0 operation, r1 block -> r0 */
    .globl semihost_trap
semihost_trap:
    bkpt 0xAB
    bx lr

    function board_count_start
    bx lr

    function board_count_stop
    bx lr

    /* In registers alone: a C function would paint over, or count, its own frame. */
    .equ PAINT, 0xA5A5A5A5

    function board_stack_paint
    ldr r0, =board_stack_low
    ldr r2, =PAINT
    mov r1, sp
1:  cmp r0, r1
    bhs 2f
    stmia r0!, {r2}
    b 1b
2:  bx lr
    .ltorg

    function board_stack_used
    ldr r0, =board_stack_low
    ldr r2, =PAINT
    mov r1, sp
1:  cmp r0, r1
    bhs 2f
    ldr r3, [r0]
    cmp r3, r2
    bne 2f
    adds r0, #4
    b 1b
2:  subs r0, r1, r0
    bx lr
    .ltorg
