/* The integer FFT of ern_fft.h, two stages at a time with four points in registers: the same roundings in the same order.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 *
 * The first two stages need only the factors cosine[0] and cosine[half]; in them a point's four words are neighbours. From then
 * on four points lie `span` apart: 4, 16, 64, ... points. Where a single stage is left over, it is the last. */
    .syntax unified
    .thumb

p    .req r0               @ the first of the points at hand
span .req r1               @ between them, in bytes
t    .req r2               @ for the moment, mostly a factor times a point: its real part
u    .req r3               @ and its imaginary part
w    .req r12              @ factor; Q15: real part below, imaginary above; Q31: real part
v    .req lr               @                                                Q31: imaginary part

#define FACTOR1 0          /* of the first stage of two, on the stack */
#define FACTOR2 8          /* of the second stage, for the points 0 and 2 */
#define FACTOR3 16         /* for the points 1 and 3 */
#define BEGIN 24
#define COSINE 28
#define QUARTER 32         /* of a turn, in bytes of the table */
#define FIRST 36           /* point of this factor */
#define AT 40              /* factor of the second stage */
#define STEP 44            /* to the next one */
#define END 48
#define FRAME 56

/* a, b = a / 2 + x b, a / 2 - x b where t + i u = x b, x already halved */
    .macro sum_down ar, ai, br, bi
    rsb \br, t, \ar, asr #1
    add \ar, t, \ar, asr #1
    rsb \bi, u, \ai, asr #1
    add \ai, u, \ai, asr #1
    .endm

/* Q15 factors, halving. */
    .macro butterfly_q15 ar, ai, br, bi
    smulwb t, \br, w
    smulwt u, \bi, w
    sub t, t, u
    smulwt u, \br, w
    smlawb u, \bi, w, u
    sum_down \ar, \ai, \br, \bi
    .endm
    .macro unturned_q15 ar, ai, br, bi
    smulwb t, \br, w
    smulwb u, \bi, w
    sum_down \ar, \ai, \br, \bi
    .endm
    .macro quarter_q15 ar, ai, br, bi
    smulwt u, \br, w
    smulwt t, \bi, w
    add \br, t, \ar, asr #1
    rsb \ar, t, \ar, asr #1
    rsb \bi, u, \ai, asr #1
    add \ai, u, \ai, asr #1
    .endm

/* Q31 factors, halving. */
    .macro butterfly_q31 ar, ai, br, bi
    smmul t, \br, w
    smmul u, \bi, v
    sub t, t, u
    smmul u, \br, v
    smmla u, \bi, w, u
    sum_down \ar, \ai, \br, \bi
    .endm
    .macro unturned_q31 ar, ai, br, bi
    smmul t, \br, w
    smmul u, \bi, w
    sum_down \ar, \ai, \br, \bi
    .endm
    .macro quarter_q31 ar, ai, br, bi
    smmul u, \br, v
    smmul t, \bi, v
    add \br, t, \ar, asr #1
    rsb \ar, t, \ar, asr #1
    rsb \bi, u, \ai, asr #1
    add \ai, u, \ai, asr #1
    .endm

/* Q31 factors, conjugated; the product's halving is undone by doubling b. */
    .macro sum_up ar, ai, br, bi
    sub \br, \ar, t
    add \ar, \ar, t
    sub \bi, \ai, u
    add \ai, \ai, u
    .endm
    .macro butterfly_up ar, ai, br, bi
    lsls \br, \br, #1
    lsls \bi, \bi, #1
    smmul t, \br, w
    smmla t, \bi, v, t
    smmul u, \bi, w
    smmul \bi, \br, v
    subs u, u, \bi
    sum_up \ar, \ai, \br, \bi
    .endm
    .macro unturned_up ar, ai, br, bi
    lsls \br, \br, #1
    lsls \bi, \bi, #1
    smmul t, \br, w
    smmul u, \bi, w
    sum_up \ar, \ai, \br, \bi
    .endm
    .macro quarter_up ar, ai, br, bi
    lsls \br, \br, #1
    lsls \bi, \bi, #1
    smmul t, \bi, v
    smmul u, \br, v
    subs \br, \ar, t
    add \ar, \ar, t
    add \bi, \ai, u
    subs \ai, \ai, u
    .endm

/* Factors: from the table at \at and \imaginary bytes after it; to the stack and from there. */
    .macro table_q15 at, imaginary
    ldrh w, [\at]
    ldrh t, [\at, \imaginary]
    orr w, w, t, lsl #16
    .endm
    .macro put_q15 place
    str w, [sp, #\place]
    .endm
    .macro take_q15 place
    ldr w, [sp, #\place]
    .endm
    .macro table_q31 at, imaginary
    ldr w, [\at]
    ldr v, [\at, \imaginary]
    .endm
    .macro put_q31 place
    strd w, v, [sp, #\place]
    .endm
    .macro take_q31 place
    ldrd w, v, [sp, #\place]
    .endm

/* The function: \kind names the butterflies, \factors the tables, whose entries have 1 << \size bytes. */
    .macro transform name, kind, factors, size
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .thumb_func
    .type \name, %function
\name:
    push {r4-r11, lr}
    sub sp, #FRAME
    lsls r3, r2, #(\size - 1)
    strd r0, r1, [sp, #BEGIN]
    str r3, [sp, #QUARTER]
    lsrs r3, r3, #2
    add r4, r0, r2, lsl #3
    str r3, [sp, #STEP]
    str r4, [sp, #END]
    lsls r3, r2, #\size
    mov r4, r1
    table_\factors r4, r3
1:  ldmia p, {r4-r11}
    unturned_\kind r4, r5, r6, r7
    unturned_\kind r8, r9, r10, r11
    unturned_\kind r4, r5, r8, r9
    quarter_\kind r6, r7, r10, r11
    stmia p!, {r4-r11}
    ldr t, [sp, #END]
    cmp p, t
    bne 1b
    movs span, #32

2:  ldrd t, u, [sp, #BEGIN]       @ two more stages, if there are two
    ldr r5, [sp, #END]
    add r4, t, span, lsl #2
    cmp r4, r5
    bhi 5f
    strd t, u, [sp, #FIRST]       @ and AT
3:  ldr r4, [sp, #AT]             @ the factors of one point
    ldrd r5, r6, [sp, #COSINE]    @ and QUARTER
    rsb r5, r5, r4, lsl #1
    table_\factors r5, r6
    put_\factors FACTOR1
    table_\factors r4, r6
    put_\factors FACTOR2
    adds r5, r4, r6
    table_\factors r5, r6
    put_\factors FACTOR3
    ldr t, [sp, #STEP]
    ldr p, [sp, #FIRST]
    add r4, t
    add r5, p, #8
    strd r5, r4, [sp, #FIRST]
4:  ldrd r4, r5, [p]
    add p, span
    ldrd r6, r7, [p]
    add p, span
    ldrd r8, r9, [p]
    add p, span
    ldrd r10, r11, [p]
    take_\factors FACTOR1
    butterfly_\kind r4, r5, r6, r7
    butterfly_\kind r8, r9, r10, r11
    take_\factors FACTOR2
    butterfly_\kind r4, r5, r8, r9
    take_\factors FACTOR3
    butterfly_\kind r6, r7, r10, r11
    strd r10, r11, [p]
    subs p, p, span
    strd r8, r9, [p]
    subs p, p, span
    strd r6, r7, [p]
    subs p, p, span
    strd r4, r5, [p]
    ldr t, [sp, #END]
    add p, p, span, lsl #2
    cmp p, t
    blo 4b
    ldr t, [sp, #BEGIN]
    ldr u, [sp, #FIRST]
    add t, span
    cmp u, t
    bne 3b
    ldr t, [sp, #STEP]
    lsls span, span, #2
    lsrs t, t, #2
    str t, [sp, #STEP]
    b 2b

5:  adds r8, t, span              @ the last stage, if one is left over
    cmp r8, r5
    beq 7f
    ldr r10, [sp, #QUARTER]
    mov p, t
    mov r9, u
    mov r11, r8
6:  ldrd r4, r5, [p]
    ldrd r6, r7, [r8]
    table_\factors r9, r10
    adds r9, r9, #(2 << \size)
    butterfly_\kind r4, r5, r6, r7
    strd r4, r5, [p], #8
    strd r6, r7, [r8], #8
    cmp p, r11
    bne 6b
7:  add sp, #FRAME
    pop {r4-r11, pc}
    .size \name, . - \name
    .endm

    transform ern_dsp_fft_q15, q15, q15, 1
    transform ern_dsp_fft_q31, q31, q31, 2
    transform ern_dsp_fft_up, up, q31, 2
