@ Kernel for Cortex-M55 with MVE; see ern_mve.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
    .syntax unified
    .thumb
    .text

w    .req r0
xp   .req r1
y    .req r2
left .req r3
sum0 .req r4               @ sums lie in even registers
x    .req r5
sum1 .req r6
cols .req r7
sum2 .req r8
sum3 .req r10

    .macro begin name
    .balign 4
    .global \name
    .thumb_func
    .type \name, %function
\name:
    push {r4-r10, lr}
    mov x, r2
    mov y, r0
    ldrh left, [r1, #4]    @ rows
    ldrh cols, [r1, #10]
    ldr w, [r1]
1:  ldrd sum0, sum1, [w], #8
    ldrd sum2, sum3, [w], #8
    mov xp, x
    .endm
    .macro row16 sum
    vldrb.s16 q1, [w], #8
    vmladava.s16 \sum, q0, q1
    .endm
    .macro row8 sum
    vldrb.u8 q1, [w], #16
    vmladava.s8 \sum, q0, q1
    .endm
    .macro gather          @ the sums of four rows to q0
    vmov d0, sum0, sum1
    vmov d1, sum2, sum3
    .endm
    .macro finish name     @ q0 * m << (32 - k), upper half, rounded: as many rows as there are
    vldrw.u32 q1, [w], #16
    vrmulh.s32 q0, q0, q1
    vqmovnb.s32 q2, q0
    vctp.32 left
    vpst
    vstrht.32 q2, [y], #8
    subs left, #4
    bgt 1b
    pop {r4-r10, pc}
    .size \name, . - \name
    .endm

    begin ern_mve_rows16
    dlstp.16 lr, cols
2:  vldrh.u16 q0, [xp], #16 @ 10 instructions for 32 products
    row16 sum0
    row16 sum1
    row16 sum2
    row16 sum3
    letp lr, 2b
    gather
    finish ern_mve_rows16

    begin ern_mve_rows8
    dlstp.8 lr, cols
2:  vldrb.u8 q0, [xp], #16 @ 10 instructions for 64 products
    row8 sum0
    row8 sum1
    row8 sum2
    row8 sum3
    letp lr, 2b
    gather
    vshl.i32 q0, q0, #8
    finish ern_mve_rows8
