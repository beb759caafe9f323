"""Cortex-M4, M7 and M33: two products an instruction (SMLAD), four rows at a time, the scale by a rounding product (SMMULR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from firmware_export.kernels import BlockKernel

_ORDER = (0, 2, 1, 3)  #: of a word's bytes: SXTB16 then gives columns 0 and 1, and turned by 8 bits columns 2 and 3


class Dsp(BlockKernel):
    """See the module docstring; ern_dsp_rows.S has the loop."""

    name = "dsp"
    cores = ("cortex-m4", "cortex-m7", "cortex-m33")
    sources = ("ern_dsp.c", "ern_dsp_rows.S", "ern_dsp_fft.S", "ern_dsp_bins.S")
    header = "ern_dsp.h"
    instead: ClassVar[Mapping[str, str]] = {"ern_frontend.c": "ern_dsp_frontend.c", "ern_stft.c": "ern_dsp_stft.c"}
    rows, columns = 4, 4
    kinds = (*BlockKernel.kinds, "depthwise")
    shifts = (16, 32)
    in_words = True

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """A word a row and group."""
        return weight[..., list(_ORDER)].transpose(0, 2, 1, 3)

    def packed(self, g: NetGraph, op: Op) -> NDArray[np.uint32]:
        """A depthwise product goes over two channels at a time."""
        return self.channel_pairs(g, op) if op.kind == "depthwise" else super().packed(g, op)


KERNEL = Dsp()
