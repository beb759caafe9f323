/* A GRU's recurrence over time, forward and backward, for training on the CPU: sequences [N][T], each from state 0.
 *
 * Four sequences go through a step together, so that a weight is read once for four products; the compiler keeps 4 x 16 sums
 * in registers. Matrices come with rows padded to a multiple of TILE columns. float throughout, as PyTorch's own.
 */
#include <stdint.h>
#include <string.h>

#define ROWS 4
#define TILE 16
#define MOST 1024 /* units */

static float exponential(float x)
{
    union {
        float f;
        uint32_t bits;
    } shifted, power;
    float n, r, p;
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    shifted.f = x * 1.44269504f + 12582912.0f; /* rounds: 1.5 * 2^23 leaves no bit for a fraction */
    n = shifted.f - 12582912.0f;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    power.bits = (shifted.bits - 0x4B400000u + 127u) << 23;
    return p * power.f;
}

static float logistic(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* sums[r][i] += in[r] . matrix[.][i] for ROWS rows; in: depth entries, matrix: [depth][width], width a multiple of TILE. */
static void multiply(float *restrict sums, const float *const *in, const float *restrict matrix, size_t depth, size_t width)
{
    for (size_t begin = 0; begin < width; begin += TILE) {
        float a[ROWS][TILE];
        for (size_t r = 0; r < ROWS; r++)
            memcpy(a[r], sums + r * width + begin, sizeof a[r]);
        for (size_t j = 0; j < depth; j++) {
            const float *restrict w = matrix + j * width + begin;
            for (size_t r = 0; r < ROWS; r++) {
                float x = in[r][j];
                for (size_t i = 0; i < TILE; i++)
                    a[r][i] += x * w[i];
            }
        }
        for (size_t r = 0; r < ROWS; r++)
            memcpy(sums + r * width + begin, a[r], sizeof a[r]);
    }
}

static void gates(size_t units, const float *restrict x, const float *restrict y, const float *restrict past, float *restrict kept,
                  float *restrict h)
{
    for (size_t i = 0; i < units; i++) {
        float r = logistic(x[i] + y[i]), z = logistic(x[units + i] + y[units + i]), q = y[2 * units + i];
        float n = 2.0f * logistic(2.0f * (x[2 * units + i] + r * q)) - 1.0f;
        kept[i] = r;
        kept[units + i] = z;
        kept[2 * units + i] = n;
        kept[3 * units + i] = q;
        h[i] = n - z * n + z * past[i];
    }
}

/* x [N][T][3 units]: products with the input; matrix [units][width]: the hidden weights, transposed; bias [width].
 * h [N][T + 1][units], its first step 0; kept [N][T][4 units]: r, z, n, and what r multiplies. */
void gru_forward(size_t count, size_t steps, size_t units, size_t width, const float *x, const float *matrix, const float *bias,
                 float *h, float *kept)
{
    static const float zero[MOST];
    float sums[ROWS * (3 * MOST + TILE)];
    for (size_t first = 0; first < count; first += ROWS) {
        for (size_t t = 0; t < steps; t++) {
            const float *past[ROWS];
            for (size_t r = 0; r < ROWS; r++) { /* beyond the last sequence: the last once more */
                size_t n = first + r < count ? first + r : count - 1;
                past[r] = t ? h + (n * (steps + 1) + t) * units : zero;
                memcpy(sums + r * width, bias, width * sizeof *bias);
            }
            multiply(sums, past, matrix, units, width);
            for (size_t r = 0; r < ROWS && first + r < count; r++) {
                size_t at = (first + r) * steps + t;
                gates(units, x + at * 3 * units, sums + r * width, past[r], kept + at * 4 * units,
                      h + ((first + r) * (steps + 1) + t + 1) * units);
            }
        }
    }
}

static void gates_backward(size_t units, const float *restrict asked, const float *restrict past, const float *restrict kept,
                           float *restrict carry, float *restrict dx, float *restrict dy)
{
    for (size_t i = 0; i < units; i++) {
        float r = kept[i], z = kept[units + i], n = kept[2 * units + i], q = kept[3 * units + i];
        float dh = asked[i] + carry[i], dn = dh * (1.0f - z) * (1.0f - n * n), dr = dn * q * r * (1.0f - r);
        float dz = dh * (past[i] - n) * z * (1.0f - z);
        carry[i] = dh * z;
        dx[i] = dr;
        dx[units + i] = dz;
        dx[2 * units + i] = dn;
        dy[i] = dr;
        dy[units + i] = dz;
        dy[2 * units + i] = dn * r;
    }
}

/* asked [N][T][units]: the gradient of h; matrix [3 units][width]: the hidden weights. dx, dy [N][T][3 units]: the gradients of
 * the products with the input and with the state. */
void gru_backward(size_t count, size_t steps, size_t units, size_t width, const float *asked, const float *matrix, const float *h,
                  const float *kept, float *dx, float *dy)
{
    float carry[ROWS * (MOST + TILE)];
    for (size_t first = 0; first < count; first += ROWS) {
        memset(carry, 0, sizeof carry);
        for (size_t t = steps; t-- > 0;) {
            const float *back[ROWS];
            for (size_t r = 0; r < ROWS; r++) {
                size_t n = first + r < count ? first + r : count - 1, at = n * steps + t;
                back[r] = dy + at * 3 * units;
                if (first + r < count)
                    gates_backward(units, asked + at * units, h + (n * (steps + 1) + t) * units, kept + at * 4 * units,
                                   carry + r * width, dx + at * 3 * units, dy + at * 3 * units);
            }
            multiply(carry, back, matrix, 3 * units, width);
        }
    }
}
