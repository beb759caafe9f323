"""Cortex-M55 with Helium (MVE): four rows, eight or sixteen columns at a time, scales by VRMULH, loops of eight lanes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from firmware_export.kernels import BlockKernel


class Mve(BlockKernel):
    """See the module docstring; ern_mve_rows.S has the loops. Operands of 8 bits are multiplied as they are."""

    name = "mve"
    cores = ("cortex-m55+mve",)
    sources = ("ern_mve.c", "ern_mve_rows.S")
    header = "ern_mve.h"
    rows, columns = 4, 8
    shifts = (16, 32)
    in_words = False
    widens = False
    lanes = 8

    def group(self, g: NetGraph, op: Op) -> int:
        """As many columns as a vector of x has."""
        return 2 * self.columns if g.values[op.inputs[0]].dtype == "int8" else self.columns

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Of each group of columns a vector a row."""
        return weight.transpose(0, 2, 1, 3)


KERNEL = Mve()
