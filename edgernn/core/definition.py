"""The definition of the integer net: one NumPy line a primitive. Every other backend must equal this one.

B independent streams run side by side: values are int64 arrays [B, R, C] that hold int8 or int16 numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgernn.core import qmath
from edgernn.core.qmath import Ints
from edgernn.core.structure import Op, Structure

Kernel = Callable[[list[Ints], Op, dict[str, Ints]], Ints]


def _linear(x: Ints, op: Op, c: dict[str, Ints]) -> Ints:
    """Rows of x [..., I] times weight [O, I]. float64 holds every partial sum exactly (|acc| < 2^31 < 2^53)."""
    acc = (x.astype(np.float64) @ c["weight"].T.astype(np.float64)).astype(np.int64) + c["bias"]
    return _finish(acc, op, c)


def _finish(acc: Ints, op: Op, c: dict[str, Ints]) -> Ints:
    y = qmath.requantize(acc, c["multiplier"], c["shift"])
    return np.maximum(y, 0) if op.attrs["relu"] else y


def _conv(x: list[Ints], op: Op, c: dict[str, Ints]) -> Ints:
    return _linear(x[0].reshape(len(x[0]), 1, -1), op, c)


def _depthwise(x: list[Ints], op: Op, c: dict[str, Ints]) -> Ints:
    window = x[0]
    filters = c["weight"].reshape(window.shape[2], -1, window.shape[1])
    acc = np.einsum("bkc,cmk->bcm", window, filters).reshape(len(window), 1, -1)
    return _finish(acc + c["bias"], op, c)


def _row_conv(x: list[Ints], op: Op, c: dict[str, Ints]) -> Ints:
    _, rows, channels = x[0].shape
    around = c["weight"].shape[1] // channels // 2
    padded = np.pad(x[0], ((0, 0), (around, around), (0, 0)))
    windows = np.concatenate([padded[:, k : k + rows] for k in range(2 * around + 1)], axis=2)
    return _linear(windows, op, c)


def _span(op: Op) -> slice:
    return slice(op.attrs["begin"], op.attrs["begin"] + op.attrs["size"])


KERNELS: Mapping[str, Kernel] = {
    "matvec": lambda x, op, c: _linear(x[0], op, c),
    "conv": _conv,
    "depthwise": _depthwise,
    "row_conv": _row_conv,
    "add": lambda x, op, c: qmath.sat16(x[0] + x[1]),
    "sub": lambda x, op, c: qmath.sat16(x[0] - x[1]),
    "add_relu": lambda x, op, c: np.clip(x[0] + x[1], 0, qmath.INT16_MAX),
    "mul": lambda x, op, c: qmath.mul(x[0], x[1], op.attrs["shift"]),
    "sigmoid": lambda x, op, c: qmath.sigmoid(x[0]),
    "tanh": lambda x, op, c: qmath.tanh(x[0]),
    "narrow": lambda x, op, c: qmath.view8(x[0]),
    "cell_to_preact": lambda x, op, c: qmath.cell_to_preact(x[0], op.attrs["exponent"]),
    "concat": lambda x, op, c: np.concatenate(x, axis=1),
    "concat_columns": lambda x, op, c: np.concatenate(x, axis=2),
    "reshape": lambda x, op, c: x[0].reshape(len(x[0]), op.attrs["rows"], -1),
    "slice_rows": lambda x, op, c: x[0][:, _span(op)],
    "slice_columns": lambda x, op, c: x[0][:, :, _span(op)],
}


class IntegerNet:
    """The quantized net alone: features in, every value out."""

    def __init__(self, graph: Structure) -> None:
        self.graph = graph
        self._constants = {
            op.output: {k: v.astype(np.int64) for k, v in graph.linear(op.output).items()}
            for op in graph.ops
            if f"{op.output}.weight" in graph.constants
        }

    def zero_state(self, streams: int) -> dict[str, Ints]:
        """State of B streams after a reset."""
        return {s.read: np.zeros((streams, *self.graph.values[s.read].shape), np.int64) for s in self.graph.states}

    def step(self, frames: NDArray[np.int16], state: Mapping[str, Ints]) -> tuple[dict[str, Ints], dict[str, Ints]]:
        """One step: frames [B, F, bands] -> every value by name, and the next state."""
        values: dict[str, Ints] = {**state, self.graph.input: frames.astype(np.int64)}
        for op in self.graph.ops:
            operands = [values[i] for i in op.inputs]
            values[op.output] = KERNELS[op.kind](operands, op, self._constants.get(op.output, {}))
        return values, {s.read: values[s.write] for s in self.graph.states}
