/* Stand-in for Zephyr's devices: one, whose node label is dmic_dev. */
#ifndef STAND_IN_DEVICE_H
#define STAND_IN_DEVICE_H
#include <stdbool.h>
struct device {
    const char *name;
};
extern const struct device dmic_dev_stand_in;
#define DT_NODELABEL(label) label##_stand_in
#define DEVICE_DT_GET(node) (&node)
bool device_is_ready(const struct device *device);
#endif
