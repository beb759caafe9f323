/* Stand-in for Zephyr's kernel. */
#ifndef STAND_IN_KERNEL_H
#define STAND_IN_KERNEL_H
#include <stddef.h>
#include <stdint.h>
#define ARG_UNUSED(x) (void)(x)
struct k_mem_slab {
    size_t block_size;
    uint32_t blocks;
    uint32_t given;
    char *memory;
};
#define K_MEM_SLAB_DEFINE_STATIC(name, size, count, align) \
    static char name##_memory[(size) * (count)] __attribute__((aligned(align))); \
    static struct k_mem_slab name = { .block_size = (size), .blocks = (count), .memory = name##_memory }
void k_mem_slab_free(struct k_mem_slab *slab, void *mem);
#endif
