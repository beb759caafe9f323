"""Cortex-M0 and M0+: a word of weights serves four rows, the scale by two products of 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_export.kernels import DigitKernel


class M0(DigitKernel):
    """See the module docstring; ern_m0_rows.S has the loop."""

    name = "m0"
    cores = ("cortex-m0", "cortex-m0plus")
    sources = ("ern_m0.c", "ern_m0_rows.S")
    header = "ern_m0.h"
    shifts = (17, 46)

    def scales(self, multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
        """m << 16 | k - 16"""
        return multiplier << 16 | shift - 16


KERNEL = M0()
