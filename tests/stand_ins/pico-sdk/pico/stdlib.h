/* Stand-in for pico_stdlib. */
#ifndef STAND_IN_STDLIB_H
#define STAND_IN_STDLIB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef unsigned int uint;
#define PICO_DEFAULT_LED_PIN 25
#define GPIO_OUT 1
bool stdio_init_all(void);
void gpio_init(uint gpio);
void gpio_set_dir(uint gpio, bool out);
void gpio_put(uint gpio, bool value);
void tight_loop_contents(void);
#endif
