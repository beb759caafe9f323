/* Primitives of the quantized net; see ern_net.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * The sigmoid table is that of TFLite's int16 kernels (Apache-2.0, see NOTICE). */
#include "ern_net.h"
#include "ern_entry.h"

const uint16_t ern_sigmoid_table[256] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
};

static int16_t finish_row(const ern_linear *l, uint32_t row, int32_t acc)
{
    const int16_t y = ern_requantize(acc, l->multiplier[row], l->shift[row]);
    return y < l->floor ? l->floor : y;
}

/* The part of a window of K rows around row `at` that lies inside x: columns begin .. end-1 of the weights. */
static void inside(const ern_linear *l, uint32_t at, uint32_t n, uint32_t channels, uint32_t *begin, uint32_t *end)
{
    const uint32_t around = l->columns / channels / 2u;
    *begin = at < around ? (around - at) * channels : 0u;
    *end = at + around < n ? l->columns : (around + n - at) * channels;
}

#define ERN_OPERAND int16_t
#define ERN_NAMED(name) name##_s16
#include "ern_products.h"
#undef ERN_OPERAND
#undef ERN_NAMED

#define ERN_OPERAND int8_t
#define ERN_NAMED(name) name##_s8
#include "ern_products.h"

void ern_add(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_add(a[i], b[i]);
    }
}

void ern_sub(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_sub(a[i], b[i]);
    }
}

void ern_add_relu(int16_t *y, const int16_t *a, const int16_t *b, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_add_relu(a[i], b[i]);
    }
}

void ern_mul(int16_t *y, const int16_t *a, const int16_t *b, uint32_t shift, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_mul(a[i], b[i], (int32_t)shift);
    }
}

void ern_sigmoid(int16_t *y, const int16_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_sigmoid(x[i]);
    }
}

void ern_tanh(int16_t *y, const int16_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_tanh(x[i]);
    }
}

void ern_cell_to_preact(int16_t *y, const int16_t *c, uint32_t exponent, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int16_t)ern_entry_cell_to_preact(c[i], (int32_t)exponent);
    }
}

void ern_narrow16(int8_t *y, const int16_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        y[i] = (int8_t)ern_entry_narrow(x[i]);
    }
}

void ern_copy(void *to, const void *from, uint32_t bytes)
{
    unsigned char *t = (unsigned char *)to;
    const unsigned char *f = (const unsigned char *)from;
#if defined(__GNUC__)
    typedef uint32_t __attribute__((may_alias)) any_word;
    if ((((uintptr_t)t | (uintptr_t)f) & 3u) == 0u) {
        for (; bytes >= 4u; bytes -= 4u, t += 4, f += 4) {
            *(any_word *)(void *)t = *(const any_word *)(const void *)f;
        }
    }
#endif
    for (; bytes > 0u; bytes--) {
        *t++ = *f++;
    }
}

void ern_copy_columns(void *to, const void *x, uint32_t n, uint32_t columns, uint32_t begin, uint32_t size,
                      uint32_t width)
{
    unsigned char *t = (unsigned char *)to;
    const unsigned char *f = (const unsigned char *)x + begin * width;
    for (; n > 0u; n--, t += size * width, f += columns * width) {
        ern_copy(t, f, size * width);
    }
}

void ern_put_columns(void *to, const void *x, uint32_t n, uint32_t columns, uint32_t begin, uint32_t size,
                     uint32_t width)
{
    unsigned char *t = (unsigned char *)to + begin * width;
    const unsigned char *f = (const unsigned char *)x;
    for (; n > 0u; n--, t += columns * width, f += size * width) {
        ern_copy(t, f, size * width);
    }
}

uint32_t ern_crc32(uint32_t crc, const void *data, uint32_t bytes)
{
    const unsigned char *p = (const unsigned char *)data;
    uint32_t bit;
    crc = ~crc;
    for (; bytes > 0u; bytes--) {
        crc ^= *p++;
        for (bit = 0; bit < 8u; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}
