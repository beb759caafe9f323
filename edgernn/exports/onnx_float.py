"""The float net as ONNX with its native operators: Conv, RNN, GRU, LSTM. For accuracy work, not for equal bits.

One call takes normalised features [batch, T, bands], T a multiple of frames_per_step, and the states that the last call
gave, zeros at the start. T and the batch are the caller's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.cell import Layer, Weights, strip
from edgernn.core.floatnet import FloatNet
from edgernn.core.graph import NetGraph
from edgernn.core.structure import Value
from edgernn.errors import EdgernnError
from edgernn.exports._onnx_file import seal
from edgernn.exports._onnx_writer import Writer, dims
from edgernn.exports.metadata import Port, metadata

#: features [batch, T, I] and states [batch, R, C] -> result [batch, T', O] and the next states
Lowering = Callable[["_Floats", Layer, Weights, str, list[str]], tuple[str, list[str]]]

#: ONNX's gate order as indices into torch's: z, r, h of r, z, n; i, o, f, c of i, f, g, o
GRU_GATES = (1, 0, 2)
LSTM_GATES = (0, 3, 1, 2)


class _Floats(Writer):
    """An ONNX graph of float32 tensors."""

    def float(self, values: NDArray[np.float32]) -> str:
        """A float32 constant."""
        return self.constant(values, np.float32)

    def swapped(self, x: str, *axes: int) -> str:
        """Transpose."""
        return self.node("Transpose", x, perm=axes)

    def relu(self, x: str, layer: Layer) -> str:
        """ReLU if the layer has one."""
        return self.node("Relu", x) if layer.options["relu"] else x


def _dense(w: _Floats, layer: Layer, c: Weights, x: str, states: list[str]) -> tuple[str, list[str]]:
    product = w.node("MatMul", x, w.float(c["weight"][:, 0].T))
    return w.relu(w.node("Add", product, w.float(c["bias"])), layer), []


def _convolution(w: _Floats, layer: Layer, c: Weights, x: str, states: list[str]) -> tuple[str, list[str]]:
    """Carried frames, then the new ones, through Conv over time."""
    stride = layer.options["stride"]
    keep = layer.options["kernel"] - stride
    window = w.node("Concat", *states, x, axis=1) if states else x
    weight = c["weight"].transpose(0, 2, 1)
    groups = layer.n_in // weight.shape[1]
    y = w.node(
        "Conv", w.swapped(window, 0, 2, 1), w.float(weight), w.float(c["bias"]),
        group=groups, kernel_shape=[weight.shape[2]], strides=[stride],
    )  # fmt: skip
    ends = (w.constant([v], np.int64) for v in (-keep, np.iinfo(np.int64).max, 1))
    after = [w.node("Slice", window, *ends)] if states else []
    return w.relu(w.swapped(y, 0, 2, 1), layer), after


def _recurrent(kind: str, gates: tuple[int, ...], **attrs: object) -> Lowering:
    """ONNX's recurrent operators want time first, one direction in front, and their own order of gates."""

    def lower(w: _Floats, layer: Layer, c: Weights, x: str, states: list[str]) -> tuple[str, list[str]]:
        ordered = {k: np.concatenate([np.split(a, len(gates))[i] for i in gates])[None] for k, a in c.items()}
        bias = np.concatenate([ordered["bias_ih"], ordered["bias_hh"]], axis=1)
        inputs = [w.swapped(x, 1, 0, 2), w.float(ordered["weight_ih"]), w.float(ordered["weight_hh"]), w.float(bias), ""]
        inputs += [w.swapped(s, 1, 0, 2) for s in states]
        names = [f"{layer.name}.{part}" for part in ("y", "h", "c")[: 1 + len(states)]]
        y, *after = w.nodes(kind, inputs, names, hidden_size=layer.options["units"], **attrs)
        sequence = w.node("Squeeze", y, w.constant([1], np.int64))
        return w.swapped(sequence, 1, 0, 2), [w.swapped(s, 1, 0, 2) for s in after]

    return lower


#: one row a cell
LOWER: Mapping[str, Lowering] = {
    "conv": _convolution,
    "dense": _dense,
    "depthwise": _convolution,
    "gru": _recurrent("GRU", GRU_GATES, linear_before_reset=1),
    "gru_reset_before": _recurrent("GRU", GRU_GATES, linear_before_reset=0),
    "lstm": _recurrent("LSTM", LSTM_GATES),
    "rnn_relu": _recurrent("RNN", (0,), activations=["Relu"]),
    "rnn_tanh": _recurrent("RNN", (0,), activations=["Tanh"]),
}


def has_float_form(net: FloatNet[Any]) -> bool:
    """Whether every cell of the net has a row in LOWER."""
    return all(layer.cell.name in LOWER for layer in net.layers)


def float_model(net: FloatNet[Any], g: NetGraph) -> bytes:
    """The float net as an ONNX file's bytes. Features and states are float32; g, made from this net, gives the metadata."""
    _check_pair(net, g)
    w, inputs, after = _Floats(), [_port("features", (-1, g.bands))], list[str]()
    x = w.input("features", np.float32, ["batch", "frames", g.bands])
    for layer in net.layers:
        if layer.cell.name not in LOWER:
            raise EdgernnError(f"the cell {layer.cell.name} has no float ONNX form; export without the float net")
        shapes = layer.cell.state_shapes(layer.options, layer.n_in).values()
        states = [_port(f"state_{len(inputs) - 1 + i}", shape) for i, shape in enumerate(shapes)]
        names = [w.input(p.name, np.float32, dims(p)) for p in states]
        x, new = LOWER[layer.cell.name](w, layer, strip(net.weights, f"{layer.name}."), x, names)
        inputs, after = inputs + states, after + new
    outputs = _outputs(w, x, after, inputs[1:], g.scores)
    return seal(w.model(g.name), metadata(g, inputs, outputs), "float")


def _port(name: str, shape: tuple[int, ...]) -> Port:
    """A float input or output: its step is 1. The number of rows -1 is the caller's choice."""
    rows, columns = shape
    return Port(name, name, Value((rows, columns), "float32", 0))


def _check_pair(net: FloatNet[Any], g: NetGraph) -> None:
    theirs, ours = ((x.labels, x.frames_per_step) for x in (net, g))
    if (*theirs, len(net.mean)) != (*ours, g.bands):
        raise EdgernnError(
            f"the float net (labels, frames a step, bands {(*theirs, len(net.mean))}) is not the one this graph was made from "
            f"({(*ours, g.bands)}); give the checkpoint it was quantized from"
        )


def _outputs(w: _Floats, logits: str, after: list[str], states: list[Port], labels: int) -> list[Port]:
    """Name the results: scores of every step, states after the last."""
    w.node("Identity", logits, output="logits")
    w.node("Sigmoid", logits, output="posteriors")
    scores = [_port(name, (-1, labels)) for name in ("logits", "posteriors")]
    for port in scores:
        w.output(port.name, np.float32, ["batch", "steps", labels])
    ends = [_port(f"{p.name}_out", p.type.shape) for p in states]
    for port, state in zip(ends, after, strict=True):
        w.node("Identity", state, output=port.name)
        w.output(port.name, np.float32, dims(port))
    return scores + ends
