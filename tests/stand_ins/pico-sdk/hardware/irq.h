/* Stand-in for hardware_irq. */
#ifndef STAND_IN_IRQ_H
#define STAND_IN_IRQ_H
#include "pico/stdlib.h"
#define DMA_IRQ_0 11
typedef void (*irq_handler_t)(void);
void irq_set_exclusive_handler(uint number, irq_handler_t handler);
void irq_set_enabled(uint number, bool enabled);
#endif
