/* Stand-in for Zephyr's GPIO; the board has no led0. */
#ifndef STAND_IN_GPIO_H
#define STAND_IN_GPIO_H
#include <stdint.h>
#include <zephyr/device.h>
typedef uint8_t gpio_pin_t;
typedef uint32_t gpio_flags_t;
struct gpio_dt_spec {
    const struct device *port;
    gpio_pin_t pin;
    uint16_t dt_flags;
};
#define DT_ALIAS(alias) alias
#define GPIO_DT_SPEC_GET_OR(node, property, fallback) fallback
#define GPIO_OUTPUT_INACTIVE (1u << 17)
int gpio_pin_configure_dt(const struct gpio_dt_spec *spec, gpio_flags_t flags);
int gpio_pin_set_dt(const struct gpio_dt_spec *spec, int value);
#endif
