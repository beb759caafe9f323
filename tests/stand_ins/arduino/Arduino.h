/* Stand-in for Arduino's core. */
#ifndef STAND_IN_ARDUINO_H
#define STAND_IN_ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#define HIGH 1
#define LOW 0
#define OUTPUT 1
#define LED_BUILTIN 13

struct SerialStandIn {
    void begin(unsigned long baud);
    size_t print(const char *text);
    size_t print(long value);
    size_t println(const char *text);
};
extern SerialStandIn Serial;

void pinMode(int pin, int mode);
void digitalWrite(int pin, int value);
void delay(unsigned long ms);
void yield();
void setup();
void loop();

#endif
