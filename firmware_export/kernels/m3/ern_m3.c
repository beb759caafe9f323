/* Kernel for Cortex-M3; see ern_m3.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_m3.h"

#define ERN_FAST_ROW ern_m3_rows
#include "ern_fast_by_row.h"
