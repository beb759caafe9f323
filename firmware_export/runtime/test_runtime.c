/* The runtime against definitions written another way: floating point, published check values, sequences by hand.
 * `make test` in this folder. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 */
#include "ern_decide.h"
#include "ern_math.h"
#include "ern_net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures, checks;

static void check(int ok, const char *what, long at)
{
    checks++;
    if (!ok && failures++ < 10) {
        printf("FAILED %s at %ld\n", what, at);
    }
}

static double clip16(double x)
{
    return x > 32767.0 ? 32767.0 : x < -32768.0 ? -32768.0 : x;
}

/* A reproducible 32-bit number. */
static int32_t random32(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (int32_t)(state ^ (state >> 16));
}

static void test_requantize(void)
{
    long i;
    for (i = 0; i < 200000; i++) {
        const int32_t k = 8 + (random32() & 31), m = 16384 + (random32() & 16383);
        const int32_t acc = random32() >> (random32() & 15);
        /* a 46-bit product and a power of two are exact in a long double; halves go up */
        const double exact = (double)floorl((long double)acc * m / ldexpl(1.0L, k) + 0.5L);
        check(ern_requantize(acc, m, k) == (int16_t)clip16(exact), "requantize", i);
    }
}

static void test_mul_and_narrow(void)
{
    long i;
    for (i = 0; i < 200000; i++) {
        const int16_t a = (int16_t)random32(), b = (int16_t)random32();
        const int32_t shift = 14 + (random32() & 3);
        const double exact = (double)a * b / ldexp(1.0, shift + 1);
        check(fabs(ern_mul16(a, b, shift) - clip16(exact)) <= 0.5 + ldexp(1.0, -shift), "mul", i);
    }
    for (i = -32768; i <= 32767; i++) {
        const double exact = (double)i / 256.0;
        check(fabs(ern_narrow((int16_t)i) - (exact > 127.0 ? 127.0 : exact)) <= 0.51, "narrow", i);
    }
}

/* Input 3 * 2^-13, output Q15: the interpolated table stays within a few steps of the function. */
static void test_sigmoid_and_tanh(void)
{
    int16_t y, last = 0;
    long i;
    for (i = -32768; i <= 32767; i++) {
        const int16_t x = (int16_t)i;
        const double real = (double)i * 3.0 / 8192.0;
        ern_sigmoid(&y, &x, 1);
        check(fabs(y - 32768.0 / (1.0 + exp(-real))) <= 4.0, "sigmoid", i);
        check(i == -32768 || y >= last, "sigmoid rises", i);
        last = y;
        ern_tanh(&y, &x, 1);
        check(fabs(y - 32768.0 * tanh(real)) <= 5.0, "tanh", i);
    }
}

static void test_matvec(void)
{
    static const int8_t weight[2][3] = { { 127, -127, 1 }, { 1, 2, 3 } };
    static const int32_t bias[2] = { 5, -100000 };
    static const int16_t multiplier[2] = { 16384, 16384 };
    static const uint8_t shift[2] = { 14, 14 };
    ern_linear l = { weight[0], bias, multiplier, shift, 2, 3, -32768 };
    static const int16_t x[3] = { 10, 20, -30 };
    int16_t y[2];
    ern_matvec_s16(y, &l, x, 1);
    check(y[0] == 127 * 10 - 127 * 20 - 30 + 5, "matvec", 0);
    check(y[1] == -32768, "matvec saturates", 1);
    l.floor = 0;
    ern_matvec_s16(y, &l, x, 1);
    check(y[0] == 0 && y[1] == 0, "matvec with ReLU", 0);
}

static void test_crc(void)
{
    check(ern_crc32(0, "123456789", 9) == 0xCBF43926u, "crc32", 9);
    check(ern_crc32(ern_crc32(0, "1234", 4), "56789", 5) == 0xCBF43926u, "crc32 in two parts", 9);
}

/* Two keywords, mean of two steps, three steps of silence after an event, a held posterior fires once. An event is over when
 * it was released or the silence is, and then has the highest mean of its time. */
static void test_decide(void)
{
    static const int16_t thresholds[2] = { 1000, 2000 };
    static const ern_decision d = { 3, 2, 2, 3 };
    static const int16_t rows[13][3] = { { 999, 0, 0 },  { 1000, 0, 0 }, { 1000, 0, 0 }, { 1400, 0, 0 }, { 1000, 0, 0 },
                                         { 600, 0, 0 },  { 1000, 0, 0 }, { 1000, 3000, 0 }, { 400, 3000, 0 }, { 0, 0, 0 },
                                         { 2000, 0, 0 }, { 2000, 0, 0 }, { 2000, 0, 0 } };
    static const int told[13] = { 0, 0, ERN_FIRED, 0, 0, ERN_OVER, 0, 0, ERN_FIRED, 0, ERN_OVER, 0, ERN_FIRED };
    static const int32_t scores[13] = { 0, 0, 1000, 0, 0, 1200, 0, 0, 3000, 0, 3000, 0, 2000 };
    static const uint32_t steps[13] = { 0, 1, 2, 3, 4, 2, 6, 7, 8, 9, 8, 11, 12 };
    ern_decider decider = { 0, 0, 0, 0, 0, 0, 0 };
    int16_t ring[4] = { 0 };
    uint8_t held[2] = { 0 };
    ern_event event;
    long i;
    for (i = 0; i < 13; i++) {
        const int tells = ern_decide(&d, thresholds, &decider, ring, held, rows[i], &event);
        check(tells == told[i] && event.score == scores[i], "decide", i);
        check(event.label == (told[i] == 0 ? -1 : i > 5 && i < 12 ? 1 : 0), "decide whom", i);
        check(event.step == steps[i], "decide when", i);
    }
}

/* Without silence after an event it is over as it fires. */
static void test_decide_at_once(void)
{
    static const int16_t threshold = 1000, row = 1500;
    static const ern_decision d = { 1, 1, 1, 0 };
    ern_decider decider = { 0, 0, 0, 0, 0, 0, 0 };
    int16_t ring = 0;
    uint8_t held = 0;
    ern_event event;
    check(ern_decide(&d, &threshold, &decider, &ring, &held, &row, &event) == (ERN_FIRED | ERN_OVER), "fires, over", 0);
    check(event.label == 0 && event.score == 1500 && event.step == 0u, "fires, over", 1);
    check(ern_decide(&d, &threshold, &decider, &ring, &held, &row, &event) == 0 && event.label == -1, "held", 2);
}

int main(void)
{
    test_requantize();
    test_mul_and_narrow();
    test_sigmoid_and_tanh();
    test_matvec();
    test_crc();
    test_decide();
    test_decide_at_once();
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0;
}
