"""The graph as ONNX with QuantizeLinear and DequantizeLinear around float operators, for compilers that want that form.

It has the integer export's inputs, outputs and scales, but rounds as floats do, and each compiler rewrites it in its own
way: the bits differ; `edgernn.compare.qdq_distance` measures by how much.

ONNX Runtime's optimiser fuses the pairs around a matrix product into an 8-bit one. On x86 CPUs with AVX2 but without VNNI
that product adds pairs in 16 bits and saturates there. Weights of 7 bits leave it room: half the size, twice the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op, Value
from edgernn.errors import EdgernnError
from edgernn.exports._onnx_file import seal
from edgernn.exports._onnx_writer import Writer, dims
from edgernn.exports.metadata import input_ports, metadata, output_ports

Lowering = Callable[["_Pairs", list[str], Op], str]


class _Pairs(Writer):
    """An ONNX graph whose tensors are float32 that went through the graph's integer types."""

    def __init__(self, graph: NetGraph, weight_bits: int) -> None:
        super().__init__()
        self.graph, self._halved = graph, weight_bits == 7

    def quantize(self, x: str, value: Value, output: str = "") -> str:
        """Float to the value's integers."""
        return self.node("QuantizeLinear", x, *self._scale(value), output=output)

    def dequantize(self, x: str, value: Value) -> str:
        """The value's integers to float."""
        return self.node("DequantizeLinear", x, *self._scale(value))

    def _scale(self, value: Value) -> tuple[str, str]:
        return self.constant(value.step, np.float32), self.constant(0, value.dtype)

    def rows(self, values: NDArray[Any], scales: NDArray[np.float64], axis: int = 0) -> str:
        """An integer constant with one scale an output row, as float.

        The zero point is spelled out: ONNX Runtime's optimiser takes int8 weights without one for uint8
        (onnxruntime #28716, #27845).
        """
        zeros = self.constant(np.zeros(len(scales), values.dtype), values.dtype)
        inputs = self.constant(values, values.dtype), self.constant(scales, np.float32), zeros
        return self.node("DequantizeLinear", *inputs, axis=axis)

    def weights(self, values: NDArray[Any], steps: NDArray[np.float64], axis: int = 0) -> str:
        """A weight constant with one scale an output row, of as many bits as were asked for, as float."""
        if self._halved:
            values, steps = np.rint(values / 2).astype(np.int8), 2 * steps
        return self.rows(values, steps, axis)

    def arranged(self, kind: str, x: str, op: Op, *inputs: str, **attrs: Any) -> str:
        """The operand in another arrangement, with a pair of its own: ONNX Runtime adds one where there is none, with a
        type that does not fit (onnxruntime #25526)."""
        value = self.graph.values[op.inputs[0]]
        return self.dequantize(self.quantize(self.node(kind, x, *inputs, **attrs), value), value)


def row_steps(g: NetGraph, op: Op) -> NDArray[np.float64]:
    """What one step of each weight row is worth: m 2^-k s_out / s_in."""
    c = g.linear(op.output)
    ratio = c["multiplier"].astype(np.float64) * 2.0 ** -c["shift"].astype(np.float64)
    return np.asarray(ratio * g.values[op.output].step / g.values[op.inputs[0]].step)


def _matvec(w: _Pairs, x: list[str], op: Op) -> str:
    c, steps = w.graph.linear(op.output), row_steps(w.graph, op)
    return _finish(w, w.node("MatMul", x[0], w.weights(c["weight"].T, steps, axis=1)), op, steps)


def _finish(w: _Pairs, product: str, op: Op, steps: NDArray[np.float64]) -> str:
    bias = w.rows(w.graph.linear(op.output)["bias"], steps * w.graph.values[op.inputs[0]].step)
    y = w.node("Add", product, bias)
    return w.node("Relu", y) if op.attrs["relu"] else y


def _conv(w: _Pairs, x: list[str], op: Op) -> str:
    return _matvec(w, [w.arranged("Reshape", x[0], op, w.constant([0, 1, -1], np.int64))], op)


def _row_conv(w: _Pairs, x: list[str], op: Op) -> str:
    """Conv over the rows."""
    c, steps = w.graph.linear(op.output), row_steps(w.graph, op)
    channels = w.graph.values[op.inputs[0]].shape[1]
    filters = c["weight"].reshape(len(steps), -1, channels).transpose(0, 2, 1)
    around = filters.shape[2] // 2
    columns = w.arranged("Transpose", x[0], op, perm=[0, 2, 1])
    y = w.node("Conv", columns, w.weights(filters, steps), kernel_shape=[filters.shape[2]], pads=[around, around])
    return _finish(w, w.node("Transpose", y, perm=[0, 2, 1]), op, steps)


def _depthwise(w: _Pairs, x: list[str], op: Op) -> str:
    """Conv over the whole window, one group a channel."""
    c, steps = w.graph.linear(op.output), row_steps(w.graph, op)
    channels = w.graph.values[op.inputs[0]].shape[1]
    window = w.arranged("Transpose", x[0], op, perm=[0, 2, 1])
    filters = w.weights(c["weight"][:, None], steps)
    y = w.node("Conv", window, filters, group=channels, kernel_shape=[c["weight"].shape[1]])
    return _finish(w, w.node("Transpose", y, perm=[0, 2, 1]), op, steps)


#: one row a primitive, in float; the pair after each result brings it to its integers
LOWER: Mapping[str, Lowering] = {
    "matvec": _matvec,
    "conv": _conv,
    "depthwise": _depthwise,
    "row_conv": _row_conv,
    "add": lambda w, x, op: w.node("Add", *x),
    "sub": lambda w, x, op: w.node("Sub", *x),
    "add_relu": lambda w, x, op: w.node("Relu", w.node("Add", *x)),
    "mul": lambda w, x, op: w.node("Mul", *x),
    "sigmoid": lambda w, x, op: w.node("Sigmoid", x[0]),
    "tanh": lambda w, x, op: w.node("Tanh", x[0]),
    "narrow": lambda w, x, op: x[0],
    "cell_to_preact": lambda w, x, op: x[0],
    "concat": lambda w, x, op: w.node("Concat", *x, axis=1),
    "concat_columns": lambda w, x, op: w.node("Concat", *x, axis=2),
    "reshape": lambda w, x, op: w.arranged("Reshape", x[0], op, w.constant([0, op.attrs["rows"], -1], np.int64)),
    "slice_rows": lambda w, x, op: w.slice(x[0], 1, op.attrs["begin"], op.attrs["size"]),
    "slice_columns": lambda w, x, op: w.slice(x[0], 2, op.attrs["begin"], op.attrs["size"]),
}


WEIGHT_BITS = (8, 7)


def form_name(weight_bits: int) -> str:
    """What the file says it is."""
    return "qdq" if weight_bits == 8 else f"qdq{weight_bits}"


def qdq_model(g: NetGraph, weight_bits: int = 8) -> bytes:
    """The graph in QDQ form as an ONNX file's bytes; inputs and outputs as in the integer export. weight_bits: 8 or 7."""
    if weight_bits not in WEIGHT_BITS:
        raise EdgernnError(f"QDQ weights of {weight_bits} bits do not exist; choose 8 or 7")
    w, integers, floats = _Pairs(g, weight_bits), dict[str, str](), dict[str, str]()
    for port in input_ports(g):
        integers[port.value] = w.input(port.name, port.type.dtype, dims(port))
        floats[port.value] = w.dequantize(integers[port.value], port.type)
    for op in g.ops:
        result, value = LOWER[op.kind](w, [floats[i] for i in op.inputs], op), g.values[op.output]
        integers[op.output] = w.quantize(result, value)
        floats[op.output] = w.dequantize(integers[op.output], value)
    for port in output_ports(g):
        w.node("Identity", integers[port.value], output=port.name)
        w.output(port.name, port.type.dtype, dims(port))
    return seal(w.model(g.name), metadata(g), form_name(weight_bits))
