/* Stand-in: what the examples' stand-ins use of a C library. */
#ifndef STAND_IN_STDLIB_H
#define STAND_IN_STDLIB_H
void abort(void);
#endif
