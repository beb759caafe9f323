/* Kernel for Arm cores with NEON; see ern_neon.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_neon.h"

#define ROWS 8

/* Sums of eight rows. */
typedef struct {
    int32x4_t low, high;
} sums;

static inline sums begun(const uint32_t *biases)
{
    const int32_t *const b = (const int32_t *)(const void *)biases;
    const sums s = { vld1q_s32(b), vld1q_s32(b + 4) };
    return s;
}

/* Sums times m << (31 - k) twice, upper half rounded, to y: `left` of them if there are fewer. */
static inline void put(int16_t *y, sums s, const int8_t *scales, uint32_t left, int16x8_t least)
{
    const int32_t *const m = (const int32_t *)(const void *)scales;
    const int16x8_t rows = ern_neon_narrowed(vqrdmulhq_s32(s.low, vld1q_s32(m)), vqrdmulhq_s32(s.high, vld1q_s32(m + 4)));
    ern_fast_put_int16(y, left, vmaxq_s16(rows, least));
}

/* Two columns of eight rows each, times two lanes of x. */
#define ADD_COLUMNS(s, w, x, lane)                                                                     \
    do {                                                                                               \
        const int16x8_t first = vmovl_s8(vget_low_s8(w)), second = vmovl_s8(vget_high_s8(w));          \
        s.low = vmlal_lane_s16(s.low, vget_low_s16(first), x, lane);                                   \
        s.high = vmlal_lane_s16(s.high, vget_high_s16(first), x, lane);                                \
        s.low = vmlal_lane_s16(s.low, vget_low_s16(second), x, (lane) + 1);                            \
        s.high = vmlal_lane_s16(s.high, vget_high_s16(second), x, (lane) + 1);                         \
    } while (0)

/* The last columns of a block, onto the sums so far. Returns where its weights end. */
static inline const int8_t *last_columns(sums *to, sums s, const int8_t *w, const int16_t *x, const int16_t *end)
{
    for (; x != end; x++, w += ROWS) {
        const int16x8_t column = vmovl_s8(vld1_s8(w));
        s.low = vmlal_s16(s.low, vget_low_s16(column), vld1_dup_s16(x));
        s.high = vmlal_s16(s.high, vget_high_s16(column), vld1_dup_s16(x));
    }
    *to = s;
    return w;
}

/* A block of int16 operands, column by column. Returns where its weights end. */
static inline const int8_t *block16(sums *to, const int8_t *w, const int16_t *x, uint32_t columns)
{
    const int16_t *const eights = x + (columns & ~7u), *const end = x + columns;
    sums s = *to;
    for (; x != eights; x += 8, w += 64) { /* 31 instructions for 64 products */
        const int16x4_t early = vld1_s16(x), late = vld1_s16(x + 4);
        const int8x16_t a = vld1q_s8(w), b = vld1q_s8(w + 16), c = vld1q_s8(w + 32), d = vld1q_s8(w + 48);
        ADD_COLUMNS(s, a, early, 0);
        ADD_COLUMNS(s, b, early, 2);
        ADD_COLUMNS(s, c, late, 0);
        ADD_COLUMNS(s, d, late, 2);
    }
    return last_columns(to, s, w, x, end);
}

/* The same for two rows of x: columns are widened once for both. */
static inline const int8_t *blocks16(sums to[2], const int8_t *w, const int16_t *x, uint32_t step, uint32_t columns)
{
    const int16_t *next = x + step, *const fours = x + (columns & ~3u), *const end = x + columns;
    sums s = to[0], t = to[1];
    for (; x != fours; x += 4, next += 4, w += 32) { /* 28 instructions for 64 products */
        const int16x4_t four = vld1_s16(x), others = vld1_s16(next);
        const int8x16_t a = vld1q_s8(w), b = vld1q_s8(w + 16);
        ADD_COLUMNS(s, a, four, 0);
        ADD_COLUMNS(t, a, others, 0);
        ADD_COLUMNS(s, b, four, 2);
        ADD_COLUMNS(t, b, others, 2);
    }
    (void)last_columns(to + 1, t, w, next, end + step);
    return last_columns(to, s, w, x, end);
}

/* Sums of eight rows of int8 operands, and what four columns of x, in every word of a vector, add to them, or eight of them. */
#ifdef __ARM_FEATURE_DOTPROD
typedef sums sums8;

static inline sums8 add_four(sums8 s, const int8_t *w, int8x16_t x)
{
    s.low = vdotq_s32(s.low, vld1q_s8(w), x);
    s.high = vdotq_s32(s.high, vld1q_s8(w + 16), x);
    return s;
}

static inline sums8 add_eight(sums8 s, const int8_t *w, int8x16_t x, int8x16_t next)
{
    return add_four(add_four(s, w, x), w + 32, next);
}

static inline sums8 none(void)
{
    const sums8 s = { vdupq_n_s32(0), vdupq_n_s32(0) };
    return s;
}

static inline sums whole(sums8 s)
{
    return s;
}
#else
/* Two rows a vector, each row in two lanes. */
typedef struct {
    int32x4_t a, b, c, d;
} sums8;

/* Two rows by four columns. */
static inline int16x8_t lower(int8x16_t w, int8x16_t x)
{
    return vmull_s8(vget_low_s8(w), vget_low_s8(x));
}

static inline int16x8_t upper(int8x16_t w, int8x16_t x)
{
    return vmull_s8(vget_high_s8(w), vget_high_s8(x));
}

static inline sums8 add_four(sums8 s, const int8_t *w, int8x16_t x)
{
    const int8x16_t low = vld1q_s8(w), high = vld1q_s8(w + 16);
    s.a = vpadalq_s16(s.a, lower(low, x));
    s.b = vpadalq_s16(s.b, upper(low, x));
    s.c = vpadalq_s16(s.c, lower(high, x));
    s.d = vpadalq_s16(s.d, upper(high, x));
    return s;
}

/* Two products fit 16 bits, since no weight is -128. */
static inline sums8 add_eight(sums8 s, const int8_t *w, int8x16_t x, int8x16_t next)
{
    const int8x16_t low = vld1q_s8(w), high = vld1q_s8(w + 16), low2 = vld1q_s8(w + 32), high2 = vld1q_s8(w + 48);
    s.a = vpadalq_s16(s.a, vmlal_s8(lower(low, x), vget_low_s8(low2), vget_low_s8(next)));
    s.b = vpadalq_s16(s.b, vmlal_s8(upper(low, x), vget_high_s8(low2), vget_high_s8(next)));
    s.c = vpadalq_s16(s.c, vmlal_s8(lower(high, x), vget_low_s8(high2), vget_low_s8(next)));
    s.d = vpadalq_s16(s.d, vmlal_s8(upper(high, x), vget_high_s8(high2), vget_high_s8(next)));
    return s;
}

static inline sums8 none(void)
{
    const sums8 s = { vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0) };
    return s;
}

static inline int32x4_t neighbours(int32x4_t a, int32x4_t b)
{
#ifdef __aarch64__
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}

static inline sums whole(sums8 s)
{
    const sums w = { neighbours(s.a, s.b), neighbours(s.c, s.d) };
    return w;
}
#endif

/* Four columns of x, wherever they begin, in every word of a vector. */
static inline int8x16_t four(const int8_t *x)
{
    int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

/* Eight columns in two such vectors. */
static inline int32x4x2_t eight(const int8_t *x)
{
#ifdef __aarch64__
    return vld2q_dup_s32((const int32_t *)(const void *)x);
#else
    const int32x2_t both = vreinterpret_s32_s8(vld1_s8(x));
    const int32x4x2_t words = { { vdupq_lane_s32(both, 0), vdupq_lane_s32(both, 1) } };
    return words;
#endif
}

/* A block of int8 operands, four columns after another. Returns where its weights end. */
static inline const int8_t *block8(sums *to, const int8_t *w, const int8_t *x, uint32_t columns)
{
    const int8_t *const eights = x + (columns & ~7u), *const end = x + columns;
    sums8 s = none();
    sums all;
    for (; x != eights; x += 8, w += 64) {
        const int32x4x2_t words = eight(x);
        s = add_eight(s, w, vreinterpretq_s8_s32(words.val[0]), vreinterpretq_s8_s32(words.val[1]));
    }
    for (; x < end; x += 4, w += 32) {
        s = add_four(s, w, four(x));
    }
    all = whole(s);
    to->low = vshlq_n_s32(vaddq_s32(to->low, all.low), 8);
    to->high = vshlq_n_s32(vaddq_s32(to->high, all.high), 8);
    return w;
}

/* Of a result. */
static inline int16x8_t least_of(const ern_fast_linear *l)
{
    return vdupq_n_s16(l->relu != 0u ? 0 : -32768);
}

/* y[rows] from a row of x, by one of the blocks. */
#define ROW(y, l, x, block)                                                                            \
    do {                                                                                               \
        const int16x8_t least = least_of(l);                                                           \
        const uint32_t columns = l->columns;                                                           \
        const uint32_t *stream = l->stream;                                                            \
        uint32_t left = l->rows;                                                                       \
        for (;; left -= ROWS, y += ROWS) {                                                             \
            sums s = begun(stream);                                                                    \
            const int8_t *const end = block(&s, (const int8_t *)(const void *)(stream + ROWS), x, columns); \
            put(y, s, end, left, least);                                                               \
            if (left <= ROWS) {                                                                        \
                break;                                                                                 \
            }                                                                                          \
            stream = (const uint32_t *)(const void *)(end + 4 * ROWS);                                 \
        }                                                                                              \
    } while (0)

/* y[2][rows] from two rows of x. */
static void two_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    const int16x8_t least = least_of(l);
    const uint32_t columns = l->columns, step = l->step, rows = l->rows;
    const uint32_t *stream = l->stream;
    uint32_t left = rows;
    for (;; left -= ROWS, y += ROWS) {
        sums s[2] = { begun(stream), begun(stream) };
        const int8_t *const end = blocks16(s, (const int8_t *)(const void *)(stream + ROWS), x, step, columns);
        put(y, s[0], end, left, least);
        put(y + rows, s[1], end, left, least);
        if (left <= ROWS) {
            return;
        }
        stream = (const uint32_t *)(const void *)(end + 4 * ROWS);
    }
}

void ern_fast_matvec(int16_t *y, const ern_fast_linear *l, const int16_t *x)
{
    ROW(y, l, x, block16);
}

void ern_fast_matvec_rows(int16_t *y, const ern_fast_linear *l, const int16_t *x, uint32_t n)
{
    for (; n > 1u; n -= 2u, x += 2u * l->step, y += 2u * l->rows) {
        two_rows(y, l, x);
    }
    if (n > 0u) {
        ern_fast_matvec(y, l, x);
    }
}

void ern_fast_matvec8(int16_t *y, const ern_fast_linear *l, const int8_t *x)
{
    ROW(y, l, x, block8);
}

void ern_fast_matvec8_rows(int16_t *y, const ern_fast_linear *l, const int8_t *x, uint32_t n)
{
    for (; n > 0u; n--, x += l->step, y += l->rows) {
        ern_fast_matvec8(y, l, x);
    }
}
