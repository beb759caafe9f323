"""Cortex-M4, M7 and M33: two products an instruction (SMLAD), four rows at a time, the scale by a rounding product (SMMULR)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from firmware_export.kernels import Kernel

ROWS, COLUMNS = 4, 4  #: of a block, whose words each hold four columns of a row
_ORDER = (0, 2, 1, 3)  #: of a word's bytes: SXTB16 then gives columns 0 and 1, and turned by 8 bits columns 2 and 3
_SHIFTS = (16, 32)  #: at which m << (32 - k) fits a word; operands of 8 bits are widened by 8, and their k with them
_WIDE = 8


class Dsp(Kernel):
    """See the module docstring; ern_dsp_rows.S has the loop."""

    name = "dsp"
    cores = ("cortex-m4", "cortex-m7", "cortex-m33")
    sources = ("ern_dsp.c", "ern_dsp_rows.S")
    header = "ern_dsp.h"
    entries = "ern_dsp_"

    def takes(self, g: NetGraph, op: Op, aligned: bool) -> bool:
        """Where no shift is out of range and no widened sum either; several rows of x need whole words each."""
        if op.kind not in ("matvec", "conv"):
            return False
        shift, wide = _constant(g, op, "shift") + _widening(g, op), _widening(g, op)
        rows = 1 if op.kind == "conv" else g.values[op.inputs[0]].shape[0]
        columns = _constant(g, op, "weight").shape[1]
        largest = np.abs(_constant(g, op, "weight")).sum(1) * 128 * 256 + np.abs(_constant(g, op, "bias")) * 256
        fits = not wide or int(largest.max()) < 1 << 31
        in_words = (aligned or bool(wide)) and (rows == 1 or columns % COLUMNS == 0)
        return bool(shift.min() >= _SHIFTS[0] and shift.max() <= _SHIFTS[1] and fits and in_words)

    def packed(self, g: NetGraph, op: Op) -> NDArray[np.uint32]:
        """Block by block: four biases, the words of each group of columns, four scales; filled up with zeros."""
        weight = _constant(g, op, "weight").astype(np.int8)
        rows, columns = (-(-n // size) for n, size in zip(weight.shape, (ROWS, COLUMNS), strict=True))
        filled = np.zeros((rows * ROWS, columns * COLUMNS), np.int8)
        filled[: weight.shape[0], : weight.shape[1]] = weight
        words = filled.reshape(rows, ROWS, columns, COLUMNS)[..., list(_ORDER)].transpose(0, 2, 1, 3)
        words = np.ascontiguousarray(words).view("<u4").reshape(rows, columns * ROWS)
        shift = _constant(g, op, "shift") + _widening(g, op)
        scale = _constant(g, op, "multiplier") << (_SHIFTS[1] - shift)
        bias = _constant(g, op, "bias") << _widening(g, op)
        return np.concatenate([_blocks(bias, rows), words, _blocks(scale, rows)], axis=1).ravel()


def _constant(g: NetGraph, op: Op, key: str) -> NDArray[np.int64]:
    return np.asarray(g.constants[f"{op.output}.{key}"], np.int64)


def _widening(g: NetGraph, op: Op) -> int:
    return _WIDE if g.values[op.inputs[0]].dtype == "int8" else 0


def _blocks(values: NDArray[np.int64], rows: int) -> NDArray[np.uint32]:
    """One value a row -> [blocks, ROWS] as words."""
    filled: NDArray[Any] = np.zeros(rows * ROWS, np.int64)
    filled[: len(values)] = values
    return filled.astype(np.int32).view(np.uint32).reshape(rows, ROWS)


KERNEL = Dsp()
