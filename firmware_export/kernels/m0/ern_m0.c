/* Kernel for Cortex-M0 and M0+; see ern_m0.h. Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#include "ern_m0.h"

#define ERN_FAST_ROW ern_m0_rows
#include "ern_fast_by_row.h"
