"""rv32im(c), such as the ESP32-C3: eight rows at a time share each load of x, the scale by an upper product (MULH)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_export.kernels import BlockKernel


class Rv32(BlockKernel):
    """See the module docstring; ern_rv32.c has the loop."""

    name = "rv32"
    cores = ("rv32imc",)
    sources = ("ern_rv32.c",)
    header = "ern_rv32.h"
    rows, columns = 8, 4
    shifts = (17, 33)
    in_words = False

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Column after column, a byte a row."""
        return weight.transpose(0, 2, 3, 1)


KERNEL = Rv32()
