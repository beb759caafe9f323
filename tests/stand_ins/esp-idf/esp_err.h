/* Stand-in. */
#ifndef STAND_IN_ESP_ERR_H
#define STAND_IN_ESP_ERR_H
#include <stdint.h>
#include <stdlib.h>
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL -1
#define ESP_ERROR_CHECK(x) do { if ((x) != ESP_OK) { abort(); } } while (0)
#endif
