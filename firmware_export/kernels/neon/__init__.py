"""Arm with NEON, 64 and 32 bits, such as a Raspberry Pi under Linux: eight rows at a time, loops of eight lanes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from firmware_export.kernels import BlockKernel


class Neon(BlockKernel):
    """See the module docstring; ern_neon.c has the loops. Operands of 8 bits are multiplied as they are."""

    name = "neon"
    cores = ("aarch64", "arm64", "armv7+neon")
    sources = ("ern_neon.c",)
    header = "ern_neon.h"
    rows, columns = 8, 4
    shifts = (15, 31)
    in_words = False
    widens = False
    lanes = 8

    def group(self, g: NetGraph, op: Op) -> int:
        """A word of each row where x is int8, one column where it is int16."""
        return self.columns if g.values[op.inputs[0]].dtype == "int8" else 1

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Of each group of columns all rows."""
        return weight.transpose(0, 2, 1, 3)


KERNEL = Neon()
