@ Kernel for Cortex-M3; see ern_m3.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
    .syntax unified
    .thumb
    .text
    .balign 4
    .global ern_m3_rows
    .thumb_func
    .type ern_m3_rows, %function

@ while columns are summed: eight sums
w    .req r0
xp   .req r1
x    .req r2
t    .req r3
w0   .req r4
w1   .req r5
sum0 .req r6
sum1 .req r7
sum2 .req r8
sum3 .req r9
sum4 .req r10
sum5 .req r11
sum6 .req r12
sum7 .req lr
@ while rows are scaled; w goes on
y    .req r1
over .req r2
left .req r3
m0   .req r4
m1   .req r5

@ on the stack
    .equ X_END, 0
    .equ X, 4
    .equ Y, 8
    .equ ROWS, 12
    .equ EXCESS, 16

    .macro term sum, word, shift
    lsrs t, \word, #\shift
    mla \sum, t, x, \sum
    .endm
    .macro column
    ldm w!, {w0, w1}
    term sum0, w0, 24
    term sum1, w0, 16
    term sum2, w0, 8
    mla sum3, w0, x, sum3
    term sum4, w1, 24
    term sum5, w1, 16
    term sum6, w1, 8
    mla sum7, w1, x, sum7
    .endm
    .macro own a, b, c, d  @ sums of four rows: to each its own
    sub \d, \d, \c, lsl #8
    sub \c, \c, \b, lsl #8
    sub \b, \b, \a, lsl #8
    .endm
    .macro scaled sum, m   @ sum * m << (33 - k), upper half; half of it, rounded up, is the row
    sub \sum, \sum, over
    smull \m, \sum, \sum, \m
    add \sum, \sum, #1
    ssat \sum, #16, \sum, asr #1
    .endm
    .macro pair a, b
    ldm w!, {m0, m1}
    scaled \a, m0
    scaled \b, m1
    .endm

ern_m3_rows:
    push {r4-r11, lr}
    ldrh r4, [r1, #10]     @ columns
    mov r5, r2
    movs r3, #0
    subs r4, #4
    blt 7f
0:  ldrsh r6, [r5], #8
    ldrsh r7, [r5, #-6]
    ldrsh r8, [r5, #-4]
    ldrsh r9, [r5, #-2]
    add r3, r6
    add r3, r7
    add r3, r8
    add r3, r9
    subs r4, #4
    bge 0b
7:  adds r4, #4
    beq 9f
8:  ldrsh r6, [r5], #2
    add r3, r6
    subs r4, #1
    bne 8b
9:
    lsls r7, r3, #7        @ 128 times the sum of x
    ldrh r6, [r1, #4]      @ rows
    ldrh r3, [r1, #6]      @ groups of four columns
    add r3, r2, r3, lsl #3
    mov r4, r2
    mov r5, r0
    push {r3-r7}           @ end of x, x, y, rows, excess
    ldr w, [r1]
1:
    ldm w!, {r6-r12, lr}
    ldr xp, [sp, #X]
2:  ldrsh x, [xp], #8      @ 67 instructions for 32 products
    column
    ldrsh x, [xp, #-6]
    column
    ldrsh x, [xp, #-4]
    column
    ldrsh x, [xp, #-2]
    column
    ldr t, [sp, #X_END]
    cmp xp, t
    bne 2b
    own sum0, sum1, sum2, sum3
    own sum4, sum5, sum6, sum7
    ldr over, [sp, #EXCESS]
    pair sum0, sum1
    pair sum2, sum3
    pair sum4, sum5
    pair sum6, sum7
    ldrd y, left, [sp, #Y]
    subs left, #8
    bge 3f
    adr.w m0, 4f           @ fewer rows: past the stores of the others, of four bytes each
    sub m0, m0, left, lsl #2
    mov pc, m0
    .balign 4
3:
4:  strh.w sum7, [y, #14]
    strh.w sum6, [y, #12]
    strh.w sum5, [y, #10]
    strh.w sum4, [y, #8]
    strh.w sum3, [y, #6]
    strh.w sum2, [y, #4]
    strh.w sum1, [y, #2]
    strh.w sum0, [y]
    adds y, #16
    strd y, left, [sp, #Y]
    cmp left, #0
    bgt 1b
    add sp, #20
    pop {r4-r11, pc}
    .size ern_m3_rows, . - ern_m3_rows
