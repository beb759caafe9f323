    .syntax unified
    .thumb
    .text
    .balign 4
    .global ern_dsp_rows
    .thumb_func
    .type ern_dsp_rows, %function

sum0 .req r4
sum1 .req r5
sum2 .req r6
sum3 .req r7
w0   .req r8
w1   .req r9
w2   .req r10
w3   .req r11
x01  .req r2
x23  .req r3
xp   .req r12
n    .req lr
t    .req r0
w    .req r1

    .macro row acc, ww
    sxtb16 t, \ww
    smlad \acc, t, x01, \acc
    sxtb16 \ww, \ww, ror #8
    smlad \acc, \ww, x23, \acc
    .endm
    .macro group
    ldmia w!, {w0, w1, w2, w3}
    ldrd x01, x23, [xp], #8
    row sum0, w0
    row sum1, w1
    row sum2, w2
    row sum3, w3
    .endm

ern_dsp_rows:
    push {r4-r11, lr}
    sub sp, #24
    ldrh r4, [r3]          @ rows
    ldrh r5, [r3, #2]      @ groups
    ldrh r6, [r3, #4]      @ relu
    and r7, r5, #1
    adds r5, #1
    lsrs r5, #1
    strd r0, r4, [sp]      @ y, rows
    strd r5, r7, [sp, #8]  @ pairs, odd
    strd r2, r6, [sp, #16] @ x, relu
1:
    ldmia w!, {sum0, sum1, sum2, sum3}
    ldr xp, [sp, #16]
    ldrd n, t, [sp, #8]
    cbnz t, 3f
2:  group                  @ 38 instructions for 32 products
3:  group
    subs n, #1
    bne 2b
    ldmia w!, {w0, w1, w2, w3}
    smmulr sum0, sum0, w0
    smmulr sum1, sum1, w1
    smmulr sum2, sum2, w2
    smmulr sum3, sum3, w3
    ldr t, [sp, #20]
    cbnz t, 6f
    ssat sum0, #16, sum0
    ssat sum1, #16, sum1
    ssat sum2, #16, sum2
    ssat sum3, #16, sum3
4:  ldrd t, n, [sp]
    subs n, #4
    blt 5f
    strh sum0, [t], #2
    strh sum1, [t], #2
    strh sum2, [t], #2
    strh sum3, [t], #2
    strd t, n, [sp]
    bne 1b
    b 8f
5:  adds n, #3             @ 0, 1 or 2 more than one row
    strh sum0, [t], #2
    it gt
    strhgt sum1, [t], #2
    cmp n, #2
    it eq
    strheq sum2, [t], #2
8:  add sp, #24
    pop {r4-r11, pc}
6:  usat sum0, #15, sum0
    usat sum1, #15, sum1
    usat sum2, #15, sum2
    usat sum3, #15, sum3
    b 4b
    .size ern_dsp_rows, . - ern_dsp_rows
