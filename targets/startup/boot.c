/* From reset to main, and from a fault to an exit code. Called by the family's assembly with a stack.
 * SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

/* Set by link.ld; every one on a word boundary. */
extern uint32_t board_data_start[], board_data_end[], board_bss_start[], board_bss_end[];
extern const uint32_t board_data_load[];

int main(void);
void board_boot(void);
void board_fault(void);

void board_boot(void) {
    const uint32_t *from = board_data_load;
    for (uint32_t *to = board_data_start; to < board_data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = board_bss_start; to < board_bss_end; to++) {
        *to = 0;
    }
    board_exit(main());
}

void board_fault(void) {
    board_puts("HardFault\n");
    board_exit(BOARD_EXIT_FAULT);
}
