/* What the processor of this host can do. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

int ern_host_has_avx2(void);

/* Whether the processor has AVX2 and the system saves its registers. */
int ern_host_has_avx2(void)
{
#if defined(__x86_64__)
    uint32_t a, b, c, d, low, high;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0u) {
        return 0;
    }
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6u) == 6u && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & (1u << 5)) != 0u;
#else
    return 0;
#endif
}
