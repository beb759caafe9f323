/* Kernel for rv32im(c): eight rows at a time, the scale by an upper product. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight biases, for each column eight bytes, eight scales m << (33 - k).
 */
#ifndef ERN_RV32_H
#define ERN_RV32_H

#include <stdint.h>

#include "ern_fast_entry.h"

#endif
