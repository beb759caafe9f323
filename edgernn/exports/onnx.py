"""The quantized graph as a pure integer ONNX graph: the same bits in every runtime that follows the operators' definition.

One time step; features and states come in, scores and the next states go out, all in the graph's own int8 and int16.
Inside, values travel as int64, so that nothing can wrap; the matrix products run in int32, the contract's accumulator.
ONNX divides integers towards zero where the contract takes the floor. Every shift of the contract ends in a clamp, so
`_Integers.shifted` moves the clamp's lower end to 0 first: above it both divisions agree, below it both give at most 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.qmath import INT8_MAX, INT8_MIN, INT16_MAX, INT16_MIN, SIGMOID_TABLE
from edgernn.core.structure import Op
from edgernn.exports._onnx_file import seal
from edgernn.exports._onnx_writer import Writer, dims
from edgernn.exports.metadata import input_ports, metadata, output_ports

Constants = Mapping[str, NDArray[Any]]
Lowering = Callable[["_Integers", list[str], Op, Constants, tuple[int, int]], str]

#: steps between two entries of the interpolated table, and its last entry's index
_PITCH, _LAST = 512, 255


class _Integers(Writer):
    """The contract's arithmetic as ONNX nodes on int64 tensors."""

    def __init__(self) -> None:
        super().__init__()
        self._widened: dict[tuple[str, str], str] = {}

    def scalar(self, value: int) -> str:
        """An int64 constant."""
        return self.constant(value, np.int64)

    def vector(self, *values: int) -> str:
        """An int64 constant list, as shapes and slices want it."""
        return self.constant(values, np.int64)

    def stored(self, values: NDArray[Any], dtype: type[np.generic] = np.int64) -> str:
        """A constant kept in its narrow type and widened in the graph; runtimes do that once, when they load."""
        key = self.constant(values, values.dtype), np.dtype(dtype).str
        if key not in self._widened:
            self._widened[key] = self.cast(key[0], dtype)
        return self._widened[key]

    def clip(self, x: str, low: int, high: int) -> str:
        """Clamp to low..high."""
        return self.node("Clip", x, self.scalar(low), self.scalar(high))

    def shifted(self, x: str, rounding: int, divisor: int, low: int, high: int) -> str:
        """Clamp floor((x + rounding) / divisor) to low..high; see the module docstring."""
        return self.lifted(self.node("Add", x, self.scalar(rounding - low * divisor)), self.scalar(divisor), low, high)

    def lifted(self, x: str, divisor: str, low: int, high: int) -> str:
        """The rest of a shift, from a dividend that already had -low * divisor added."""
        above = self.clip(self.node("Div", x, divisor), 0, high - low)
        return self.node("Add", above, self.scalar(low)) if low else above

    def uneven(self, x: str, judged: str, zero: int, rounding: int, divisor: int, low: int, high: int, less: int) -> str:
        """Like `shifted`, with `less` taken off the rounding where judged < zero: halves there go the other way."""
        lift = rounding - low * divisor
        below = self.node("Less", judged, self.scalar(zero))
        lifts = self.node("Where", below, self.scalar(lift - less), self.scalar(lift))
        return self.lifted(self.node("Add", x, lifts), self.scalar(divisor), low, high)

    def halved_away(self, x: str, shift: int, low: int, high: int) -> str:
        """round_shift_away((x + 1) >> 1, shift), clamped, in one division: floor((x + 1 + 2^s - 2 [x < -1]) / 2^(s+1))."""
        return self.uneven(x, x, -1, 1 + (1 << shift), 2 << shift, low, high, less=2)


def _finish(w: _Integers, acc: str, op: Op, c: Constants) -> str:
    """Requantize the int32 accumulator without bias [.., O]: clamp (acc m + 2^(k-1)) >> k."""
    biased = w.node("Add", acc, w.stored(c["bias"], np.int32))
    scaled = w.node("Mul", w.cast(biased, np.int64), w.stored(c["multiplier"]))
    halves = w.constant([1 << max(k - 1, 0) for k in range(47)], np.int64)
    half = w.node("Gather", halves, w.stored(c["shift"]))
    # 2^(k-1) for the rounding and 2^15 * 2^k for the clamp's lower end
    lifted = w.node("Add", scaled, w.node("Mul", half, w.scalar(1 - 2 * INT16_MIN)))
    quotient = w.node("Div", lifted, w.node("Add", half, half))
    clamped = w.clip(quotient, -INT16_MIN if op.attrs["relu"] else 0, INT16_MAX - INT16_MIN)
    return w.node("Add", clamped, w.scalar(INT16_MIN))


def _matvec(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    weight = w.stored(np.ascontiguousarray(c["weight"].T), np.int32)
    return _finish(w, w.node("MatMul", w.cast(x[0], np.int32), weight), op, c)


def _conv(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    return _matvec(w, [w.node("Reshape", x[0], w.vector(0, 1, -1))], op, c, shape)


def _row_conv(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    """Rows shifted up and down beside one another, zeros beyond the ends, then one product."""
    around = c["weight"].shape[1] // shape[1] // 2
    padded = w.node("Pad", x[0], w.vector(0, around, 0, 0, around, 0))
    windows = [w.slice(padded, 1, k, shape[0]) for k in range(2 * around + 1)]
    return _matvec(w, [w.node("Concat", *windows, axis=2)], op, c, shape)


def _depthwise(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    """Window [B, K, C, 1] times filters [K, C, M], summed over the window."""
    kernel, channels = shape
    filters = c["weight"].reshape(channels, -1, kernel).transpose(2, 0, 1)
    window = w.node("Unsqueeze", w.cast(x[0], np.int32), w.vector(-1))
    products = w.node("Mul", window, w.stored(np.ascontiguousarray(filters), np.int32))
    acc = w.node("ReduceSum", products, w.vector(1), keepdims=0)
    return _finish(w, w.node("Reshape", acc, w.vector(0, 1, -1)), op, c)


def signed_table() -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """SIGMOID_TABLE for both signs, index 0 at -255: at step u from there the interpolated value is base[i] + slope[i] u.

    sigmoid(-a) = 1 - sigmoid(a) holds exactly for the line between two entries, so one line a pitch serves either sign.
    """
    table = np.concatenate([65536 - SIGMOID_TABLE[:0:-1], SIGMOID_TABLE])
    slope = np.append(np.diff(table), 0)
    return (_PITCH * (table - np.arange(len(table)) * slope)).astype(np.int32), slope.astype(np.int16)


def _interpolated(w: _Integers, u: str) -> str:
    """Q25 sigmoid at u >= 0, in steps of 1/512 of a table entry from the table's lower end."""
    base, slope = (w.stored(a) for a in signed_table())
    index = w.node("Div", u, w.scalar(_PITCH))
    return w.node("Add", w.node("Gather", base, index), w.node("Mul", w.node("Gather", slope, index), u))


def _offset(w: _Integers, x: str, end: int) -> str:
    """v + end for v = (9 x + 1) >> 1, clamped to the table's 0 .. 2 end: beyond it both functions are flat."""
    return w.shifted(w.node("Mul", x, w.scalar(9)), 1 + 2 * end, 2, 0, 2 * end)


def _sigmoid(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    """(r + 512 - [v < 0]) >> 10, in 1 .. 32767."""
    end = _LAST * _PITCH
    u = _offset(w, x[0], end)
    return w.uneven(_interpolated(w, u), u, end, 512, 1024, 1, INT16_MAX, less=1)


def _tanh(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    """Twice as steep: 2 sigmoid(2 x) - 1; r is doubled here, and so is all that meets it."""
    end = _LAST * _PITCH // 2
    u = _offset(w, x[0], end)
    r = _interpolated(w, w.node("Add", u, u))
    return w.uneven(r, u, end, 256 - (1 << 24), 512, -INT16_MAX, INT16_MAX, less=2)


def _cell_to_preact(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    scaled = w.node("Mul", x[0], w.scalar(1 << (14 - op.attrs["exponent"])))
    return w.shifted(scaled, 3, 6, INT16_MIN, INT16_MAX)


def _mul(w: _Integers, x: list[str], op: Op, c: Constants, shape: tuple[int, int]) -> str:
    return w.halved_away(w.node("Mul", *x), op.attrs["shift"], INT16_MIN, INT16_MAX)


#: one row a primitive: (writer, operands, op, constants, shape of the first operand) -> result, all int64 [B, R, C]
LOWER: Mapping[str, Lowering] = {
    "matvec": _matvec,
    "conv": _conv,
    "depthwise": _depthwise,
    "row_conv": _row_conv,
    "add": lambda w, x, op, c, s: w.clip(w.node("Add", *x), INT16_MIN, INT16_MAX),
    "sub": lambda w, x, op, c, s: w.clip(w.node("Sub", *x), INT16_MIN, INT16_MAX),
    "add_relu": lambda w, x, op, c, s: w.clip(w.node("Add", *x), 0, INT16_MAX),
    "mul": _mul,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "narrow": lambda w, x, op, c, s: w.halved_away(x[0], 7, INT8_MIN, INT8_MAX),
    "cell_to_preact": _cell_to_preact,
    "concat": lambda w, x, op, c, s: w.node("Concat", *x, axis=1),
    "concat_columns": lambda w, x, op, c, s: w.node("Concat", *x, axis=2),
    "reshape": lambda w, x, op, c, s: w.node("Reshape", x[0], w.vector(0, op.attrs["rows"], -1)),
    "slice_rows": lambda w, x, op, c, s: w.slice(x[0], 1, op.attrs["begin"], op.attrs["size"]),
    "slice_columns": lambda w, x, op, c, s: w.slice(x[0], 2, op.attrs["begin"], op.attrs["size"]),
}


def _constants(g: NetGraph, op: Op) -> Constants:
    return g.linear(op.output) if f"{op.output}.weight" in g.constants else {}


def integer_model(g: NetGraph) -> bytes:
    """The graph as an ONNX file's bytes; see the module docstring. Inputs and outputs as in `metadata`."""
    w, values = _Integers(), dict[str, str]()
    for port in input_ports(g):
        values[port.value] = w.cast(w.input(port.name, port.type.dtype, dims(port)), np.int64)
    for op in g.ops:
        operands = [values[i] for i in op.inputs]
        values[op.output] = LOWER[op.kind](w, operands, op, _constants(g, op), g.values[op.inputs[0]].shape)
    for port in output_ports(g):
        w.cast(values[port.value], port.type.dtype, port.name)
        w.output(port.name, port.type.dtype, dims(port))
    return seal(w.model(g.name), metadata(g), "integer")
