/* Stand-in: samples of 16 bits come from standard input, in blocks of the sample's own slab; a leak of blocks ends it. */
#include <stdarg.h>
#include <stdio.h>
#include <zephyr/audio/dmic.h>
#include <zephyr/drivers/gpio.h>
#include <zephyr/sys/printk.h>

const struct device dmic_dev_stand_in = { "dmic_dev" };
static struct pcm_stream_cfg stream;
static int started;

bool device_is_ready(const struct device *device) { return device == &dmic_dev_stand_in; }
int gpio_pin_configure_dt(const struct gpio_dt_spec *spec, gpio_flags_t flags) { return (void)spec, (void)flags, 0; }
int gpio_pin_set_dt(const struct gpio_dt_spec *spec, int value) { return (void)spec, (void)value, 0; }

void printk(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
}

int dmic_configure(const struct device *dev, struct dmic_cfg *cfg)
{
    (void)dev;
    stream = cfg->streams[0];
    return stream.pcm_rate == 16000 && stream.pcm_width == 16 && cfg->channel.req_num_chan == 1
               && cfg->channel.req_num_streams == 1 && stream.block_size <= stream.mem_slab->block_size ? 0 : -22;
}

int dmic_trigger(const struct device *dev, enum dmic_trigger cmd)
{
    (void)dev;
    started = cmd == DMIC_TRIGGER_START;
    return 0;
}

int dmic_read(const struct device *dev, uint8_t number, void **buffer, uint32_t *size, int32_t timeout)
{
    struct k_mem_slab *const slab = stream.mem_slab;
    (void)dev, (void)number, (void)timeout;
    if (!started || slab->given == slab->blocks) {
        return -12;
    }
    *buffer = slab->memory + slab->given++ * slab->block_size;
    *size = (uint32_t)fread(*buffer, 1, stream.block_size, stdin);
    return *size == stream.block_size ? 0 : -11;
}

void k_mem_slab_free(struct k_mem_slab *slab, void *mem)
{
    (void)mem;
    slab->given--;
}
