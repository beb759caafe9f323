/* RISC-V, 32 bits, machine mode: reset, traps, and what C cannot say.
 * SPDX-License-Identifier: Apache-2.0 */
    .equ PMP1_LOCKED_READ_EXECUTE, 0x8D00   /* entry 1: from pmpaddr0 up to pmpaddr1 */

    .macro function name
    .section .text.\name, "ax", @progbits
    .balign 4
    .globl \name
    .type \name, @function
\name:
    .endm

    .section .start, "ax", @progbits
    .globl board_reset
    .type board_reset, @function
board_reset:
    .option push
    .option norelax
    .option arch, +zicsr
    la gp, __global_pointer$
    la t0, trap
    csrw mtvec, t0
    la t0, board_flash_start         /* flash is RAM on some machines: make writes to it trap, */
    srli t0, t0, 2                   /* so that a runaway stack ends as a fault */
    csrw pmpaddr0, t0
    la t0, board_flash_end
    srli t0, t0, 2
    csrw pmpaddr1, t0
    li t0, PMP1_LOCKED_READ_EXECUTE
    csrw pmpcfg0, t0
    .option pop
    la sp, board_stack_top
    call board_boot

    .balign 4
trap:
    la sp, board_stack_top           /* the old one may be what failed */
    call board_fault

    function semihost_call           /* a0 operation, a1 block -> a0 */
    .option push
    .option norvc
    .balign 16                       /* the three must lie in one page, uncompressed */
    slli x0, x0, 0x1f
    .globl semihost_trap
semihost_trap:
    ebreak
    srai x0, x0, 7
    .option pop
    ret

    function board_count_start
    ret

    function board_count_stop
    ret

    /* In registers alone: a C function would paint over, or count, its own frame. */
    .equ PAINT, 0xA5A5A5A5

    function board_stack_paint
    la a0, board_stack_low
    li a1, PAINT
1:  bgeu a0, sp, 2f
    sw a1, 0(a0)
    addi a0, a0, 4
    j 1b
2:  ret

    function board_stack_used
    la a0, board_stack_low
    li a1, PAINT
1:  bgeu a0, sp, 2f
    lw a2, 0(a0)
    bne a1, a2, 2f
    addi a0, a0, 4
    j 1b
2:  sub a0, sp, a0
    ret
