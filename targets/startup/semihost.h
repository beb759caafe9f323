/* The one door to the host. SPDX-License-Identifier: Apache-2.0 */
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include <stdint.h>

/* Written per chip family: passes an operation and its parameter block to the debugger or emulator. */
int32_t semihost_call(uint32_t operation, const void *block);

#endif
