/* Stand-in for hardware_pio. */
#ifndef STAND_IN_PIO_H
#define STAND_IN_PIO_H
#include "pico/stdlib.h"
typedef struct {
    volatile uint32_t rxf[4];
} pio_hw_t;
typedef pio_hw_t *PIO;
extern PIO pio0;
typedef struct {
    const uint16_t *instructions;
    uint8_t length;
    int8_t origin;
} pio_program_t;
typedef struct {
    uint in_pin, side_pin, push_bits;
    bool shift_right, autopush;
    float divider;
} pio_sm_config;
enum pio_fifo_join { PIO_FIFO_JOIN_NONE, PIO_FIFO_JOIN_TX, PIO_FIFO_JOIN_RX };
int pio_claim_unused_sm(PIO pio, bool required);
int pio_add_program(PIO pio, const pio_program_t *program);
void sm_config_set_in_pins(pio_sm_config *c, uint base);
void sm_config_set_sideset_pins(pio_sm_config *c, uint base);
void sm_config_set_in_shift(pio_sm_config *c, bool right, bool autopush, uint threshold);
void sm_config_set_fifo_join(pio_sm_config *c, enum pio_fifo_join join);
void sm_config_set_clkdiv(pio_sm_config *c, float divider);
void pio_gpio_init(PIO pio, uint pin);
int pio_sm_set_consecutive_pindirs(PIO pio, uint sm, uint pin, uint count, bool out);
int pio_sm_init(PIO pio, uint sm, uint offset, const pio_sm_config *config);
void pio_sm_set_enabled(PIO pio, uint sm, bool enabled);
uint pio_get_dreq(PIO pio, uint sm, bool tx);
#endif
