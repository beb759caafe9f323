@ Kernel for Cortex-M0 and M0+; see ern_m0.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
    .syntax unified
    .thumb
    .text
    .balign 4
    .global ern_m0_rows
    .thumb_func
    .type ern_m0_rows, %function

@ while columns are summed: eight sums, six of them where only moves and adds reach
w    .req r0
xp   .req r1
x    .req r2
t    .req r3
w0   .req r4
w1   .req r5
sum6 .req r6
sum7 .req r7
sum0 .req r8
sum1 .req r9
sum2 .req r10
sum3 .req r11
sum4 .req r12
sum5 .req lr
@ while rows are scaled; w goes on
y    .req r1
over .req r2
a    .req r3
v    .req r4
p    .req r5
m    .req r6
zero .req r7
last .req r8
base .req r12

@ on the stack
    .equ X_END, 0
    .equ X, 4
    .equ Y, 8
    .equ ROWS, 12
    .equ EXCESS, 16
    .equ SUMS, 32          @ bytes of eight sums, while they lie there too

    .macro term sum, word, shift
    lsrs t, \word, #\shift
    muls t, x, t
    add \sum, t
    .endm
    .macro column byte
    movs t, #\byte
    ldrsh x, [xp, t]
    ldmia w!, {w0, w1}
    term sum0, w0, 24
    term sum1, w0, 16
    term sum2, w0, 8
    muls w0, x, w0
    add sum3, w0
    term sum4, w1, 24
    term sum5, w1, 16
    term sum6, w1, 8
    muls w1, x, w1
    add sum7, w1
    .endm
    .macro own             @ r4..r7 hold the sums of four rows: to each its own, and onto the stack
    lsls t, r6, #8
    subs r7, r7, t
    lsls t, r5, #8
    subs r6, r6, t
    lsls t, r4, #8
    subs r5, r5, t
    push {r4-r7}
    .endm

ern_m0_rows:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    ldrh r4, [r1, #10]     @ columns
    lsls r4, r4, #1
    movs r3, #0
    adds r7, r2, #2
    subs r4, #4            @ the two that come last
    b 9f
0:  ldrsh r5, [r2, r4]
    adds r3, r3, r5
    ldrsh r5, [r7, r4]
    adds r3, r3, r5
    subs r4, #4
9:  bpl 0b
    adds r4, #2
    bmi 8f                 @ an even number of them: none is left
    ldrsh r5, [r2, r4]
    adds r3, r3, r5
8:
    lsls r3, r3, #7        @ 128 times the sum of x
    ldrh r4, [r1, #6]      @ groups of four columns
    lsls r4, r4, #3
    adds r4, r4, r2
    mov r5, r2
    mov r6, r0
    ldrh r7, [r1, #4]      @ rows
    push {r3}
    push {r4-r7}           @ end of x, x, y, rows
    ldr w, [r1]
1:
    ldmia w!, {r2-r7}
    mov sum0, r2
    mov sum1, r3
    mov sum2, r4
    mov sum3, r5
    mov sum4, r6
    mov sum5, r7
    ldmia w!, {sum6, sum7}
    ldr xp, [sp, #X]
2:  column 0               @ 104 instructions for 32 products
    column 2
    column 4
    column 6
    adds xp, #8
    ldr t, [sp, #X_END]
    cmp xp, t
    bne 2b
    mov r4, sum4
    mov r5, sum5
    mov base, sp
    own
    mov r4, sum0
    mov r5, sum1
    mov r6, sum2
    mov r7, sum3
    own
    ldr y, [sp, #SUMS + Y]
    ldr over, [sp, #SUMS + EXCESS]
    movs zero, #0
    ldr a, [sp, #SUMS + ROWS]
    cmp a, #8
    bls 3f
    movs a, #8
3:  lsls a, a, #1
    add a, y
    mov last, a
4:                         @ a row: 19 instructions
    pop {a}
    ldmia w!, {p}
    subs a, a, over
    lsrs m, p, #16
    asrs v, a, #16
    muls v, m, v           @ upper half of the sum * m
    uxth a, a
    muls a, m, a
    lsrs a, a, #16
    adds v, v, a           @ sum * m >> 16
    asrs v, v, p           @ by k - 16, the lowest byte of p; the last bit out becomes the carry
    adcs v, v, zero
    sxth a, v
    cmp a, v
    bne 6f
5:  strh v, [y]
    adds y, #2
    cmp y, last
    bne 4b
    mov sp, base
    str y, [sp, #Y]
    ldr a, [sp, #ROWS]
    subs a, #8
    str a, [sp, #ROWS]
    ble 7f
    b 1b
6:  asrs v, v, #31         @ 32767 or -32768
    mvns a, zero
    lsrs a, a, #17
    eors v, a
    b 5b
7:  add sp, #20
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
    .size ern_m0_rows, . - ern_m0_rows
