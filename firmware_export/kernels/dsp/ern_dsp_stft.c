/* The signal path of cores with the DSP extension: ern_stft.c with the functions of ern_dsp_stft.h in place of its own.
 * Copyright 2026 the edgernn authors. SPDX-License-Identifier: Apache-2.0 */
#define ERN_LEADING_ZEROS(x) ((uint32_t)__builtin_clz(x))
#define ERN_OWN "ern_dsp_stft.h"
#include "ern_stft.c"
