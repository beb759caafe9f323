/* Stand-in. */
#define portMAX_DELAY 0xffffffffUL
