/* Stand-in: slots of 32 bits come from standard input. A channel that is set up otherwise than a microphone needs is refused. */
#include <stdio.h>

#include "driver/i2s_std.h"

void app_main(void);

struct i2s_channel_stand_in {
    int set_up, enabled;
};
static struct i2s_channel_stand_in channel;

esp_err_t gpio_reset_pin(gpio_num_t pin) { return (void)pin, ESP_OK; }
esp_err_t gpio_set_direction(gpio_num_t pin, gpio_mode_t mode) { return (void)pin, (void)mode, ESP_OK; }
esp_err_t gpio_set_level(gpio_num_t pin, uint32_t level) { return (void)pin, level > 1 ? ESP_FAIL : ESP_OK; }

esp_err_t i2s_new_channel(const i2s_chan_config_t *config, i2s_chan_handle_t *tx, i2s_chan_handle_t *rx)
{
    *rx = &channel;
    return tx == NULL && config->role == I2S_ROLE_MASTER ? ESP_OK : ESP_FAIL;
}

esp_err_t i2s_channel_init_std_mode(i2s_chan_handle_t handle, const i2s_std_config_t *config)
{
    const i2s_std_slot_config_t *slot = &config->slot_cfg;
    handle->set_up = config->clk_cfg.sample_rate_hz == 16000 && slot->slot_mode == I2S_SLOT_MODE_MONO
                     && slot->slot_mask == I2S_STD_SLOT_LEFT && slot->data_bit_width == I2S_DATA_BIT_WIDTH_32BIT
                     && config->gpio_cfg.dout == I2S_GPIO_UNUSED && config->gpio_cfg.din != I2S_GPIO_UNUSED;
    return handle->set_up ? ESP_OK : ESP_FAIL;
}

esp_err_t i2s_channel_enable(i2s_chan_handle_t handle)
{
    handle->enabled = 1;
    return handle->set_up ? ESP_OK : ESP_FAIL;
}

esp_err_t i2s_channel_read(i2s_chan_handle_t handle, void *to, size_t size, size_t *got, uint32_t timeout_ms)
{
    (void)timeout_ms;
    *got = handle->enabled ? fread(to, 1, size, stdin) : 0;
    return *got == size ? ESP_OK : ESP_FAIL;
}

int main(void)
{
    app_main();
    return 0;
}
