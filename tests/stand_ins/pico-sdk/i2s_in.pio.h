/* Stand-in for what pioasm makes of i2s_in.pio. */
#include "hardware/pio.h"
static const uint16_t i2s_in_program_instructions[12] = {0};
static const pio_program_t i2s_in_program = { i2s_in_program_instructions, 12, -1 };
static inline pio_sm_config i2s_in_program_get_default_config(uint offset)
{
    pio_sm_config config = {0};
    (void)offset;
    return config;
}
