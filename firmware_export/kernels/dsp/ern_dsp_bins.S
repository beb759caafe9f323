/* Powers of bins of the real signal whose even and odd samples were transformed together, summed up over one slope of the mel
 * bands: ern_split_bin and ern_bin_power of ern_fft.h, 30 instructions a bin.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
    .syntax unified
    .thumb
    .section .text.ern_dsp_bins, "ax", %progbits
    .balign 4
    .global ern_dsp_bins
    .thumb_func
    .type ern_dsp_bins, %function

slope   .req r0            @ see ern_dsp_frontend.h; then out
whole_l .req r1
whole_h .req r2
upper_l .req r3
upper_h .req r4
low     .req r5
high    .req r6
cosine  .req r7
quarter .req r8
rise    .req r9
re      .req r10           @ the bin
im      .req r11
mre      .req r12           @ the mirrored one
mim      .req lr
out      .req r0

ern_dsp_bins:
    ldrd r1, r2, [slope, #16]
    cmp r1, r2
    it eq
    bxeq lr
    push {r0, r2, r4-r11, lr}
    ldm slope, {low, high, cosine, quarter, rise}
    ldrd whole_l, whole_h, [slope, #24]
    ldrd upper_l, upper_h, [slope, #32]
1:  ldrd re, im, [low], #8
    ldrd mre, mim, [high], #-8
    asr mre, mre, #1
    asr mim, mim, #1
    add out, mre, re, asr #1     @ even, real
    sub mre, mre, re, asr #1     @ odd, imaginary
    add re, mim, im, asr #1     @ odd, real
    rsb mim, mim, im, asr #1     @ even, imaginary
    ldrsh im, [cosine], #2     @ the factor's real part
    asrs out, out, #1
    asr mim, mim, #1
    smlawb out, re, im, out
    smlawb mim, mre, im, mim
    ldrsh im, [cosine, quarter]
    smlawb mim, re, im, mim      @ the bin's imaginary part
    smulwb re, mre, im
    subs out, out, re            @ its real part
    smull re, im, out, out
    smlal re, im, mim, mim
    lsr re, re, #12
    orr re, re, im, lsl #20
    lsr im, im, #12            @ its power
    ldrh mre, [rise], #2
    adds whole_l, whole_l, re
    adc whole_h, whole_h, im
    umlal upper_l, upper_h, re, mre
    mla upper_h, im, mre, upper_h
    ldr out, [sp, #4]
    cmp rise, out
    bne 1b
    pop {slope, re}
    strd whole_l, whole_h, [slope, #24]
    strd upper_l, upper_h, [slope, #32]
    stm slope, {low, high, cosine, quarter, rise}
    pop {r4-r11, pc}
    .size ern_dsp_bins, . - ern_dsp_bins
