/* Stand-in: what the examples use of a C library. */
#ifndef STAND_IN_STDIO_H
#define STAND_IN_STDIO_H
int printf(const char *format, ...);
#endif
