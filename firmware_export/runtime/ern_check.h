/* Checked arithmetic for hosts: proves on live data what the contract proves on paper, and counts operations.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Included by ern_math.h when ERN_CHECKED is defined. Results are the same as without it.
 */
#ifndef ERN_CHECK_H
#define ERN_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int64_t ern_wide;

/* Operations since the program started; one object per translation unit would split the counts, so they are weak. */
typedef struct {
    uint64_t mac, butterfly, sum;
} ern_counts;

__attribute__((weak)) ern_counts ern_counted;

static inline int32_t ern_prove32(int64_t value, const char *file, int line)
{
    ern_counted.sum++;
    if (value > INT32_MAX || value < INT32_MIN) {
        fprintf(stderr, "%s:%d: %lld does not fit 32 bits\n", file, line, (long long)value);
        abort();
    }
    return (int32_t)value;
}

#define ERN_PROVE32(value) ern_prove32((value), __FILE__, __LINE__)
#define ERN_COUNT(kind, n) (ern_counted.kind += (n))

#endif
