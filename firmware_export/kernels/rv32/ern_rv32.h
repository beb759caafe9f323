/* Kernel for rv32im(c): eight rows at a time, the scale by an upper product. The bits are the plain runtime's.
 *
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0
 * Streams: of each block of eight rows eight biases, for each column eight bytes, eight scales m << (33 - k).
 */
#ifndef ERN_RV32_H
#define ERN_RV32_H

#if !defined(__riscv_mul) || __riscv_xlen != 32
#error "this C is for rv32im (--kernel rv32): export it with another kernel, or none, for your core"
#endif

#include <stdint.h>

#include "ern_fast_entry.h"

#endif
