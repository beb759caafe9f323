"""x86-64 with AVX2, the host that simulates: sixteen rows by two columns at a time (PMADDWD), with no sum across a vector."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from firmware_export.kernels import BlockKernel


class Avx2(BlockKernel):
    """See the module docstring; ern_avx2.c has the loop."""

    name = "avx2"
    cores = ("x86-64-v3",)
    sources = ("ern_avx2.c",)
    header = "ern_avx2.h"
    flags: ClassVar[tuple[str, ...]] = ("-mavx2",)
    rows, columns = 16, 4
    shifts = (16, 32)
    in_words = False
    lanes = 16

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Two columns of each row after another, widened to int16: here memory is cheaper than instructions."""
        blocks, rows, groups, _ = weight.shape
        pairs = weight.reshape(blocks, rows, 2 * groups, 2).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(pairs.astype("<i2")).view(np.int8)


KERNEL = Avx2()
