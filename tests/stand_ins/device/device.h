/* Stand-in for the chip of an application: sound from standard input, words to standard output, made sound to standard error. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void device_init(void) {}
static inline void device_text(const char *text) { fputs(text, stdout); }
static inline void device_number(int32_t value) { printf("%ld", (long)value); }
static inline void device_pin(int on) { (void)on; }
static inline int device_audio(int16_t *pcm, uint32_t n) { return fread(pcm, sizeof *pcm, n, stdin) == n; }
static inline void device_sound(const int16_t *pcm, uint32_t n) { (void)fwrite(pcm, sizeof *pcm, n, stderr); }
static inline void device_end(int code) { exit(code); }
