"""ONNX: a graph that is one chain from features to outputs, of RNN, GRU and LSTM nodes, MatMul or Gemm, and layout.

Every node is evaluated in the graph's order, symbolically: constants as numbers, features as a `Signal` that knows what each
of its axes means and which layers made it. The first recurrent layer tells which axis is time; from there on nothing may
mix, cut or exchange it. A value that edgernn has not is an error where the model's answer depends on it, and only there.
ONNX stacks a GRU's gates as z, r, h and an LSTM's as i, o, f, c. linear_before_reset = 1 is edgernn's `gru`, 0 is
`gru_reset_before`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgernn.errors import EdgernnError
from edgernn.imports._axes import Atom, Axes, AxesError, describe, sizes
from edgernn.imports._base import Imported, assemble, decoding
from edgernn.imports._onnx_cells import CELLS, recurrent_node
from edgernn.imports._onnx_dense import DENSE
from edgernn.imports._onnx_file import File, Node, Shape, foldable, folded, load
from edgernn.imports._onnx_layout import LAYOUT, Arguments, Handler
from edgernn.imports._onnx_states import check_states
from edgernn.imports._onnx_values import Known, Signal, Unknown, Value
from edgernn.imports._unrolled import unrolled

_QUANTIZED = "it is of a quantized model; export the float model, edgernn quantizes it itself"
_LOOP = "export the layer as one GRU, LSTM or RNN node"
_MEAN = "edgernn answers at every step; give the whole sequence or its last step"
_LABEL = "export the logits: edgernn compares them itself"
_NORM = "leave the normalisation out of the model and give its mean and deviation with --normalization, or fold it into a layer"
_ADVICE = {
    "Conv": "train it in edgernn, whose recipes have conv and depthwise, or feed the net log-mel frames",
    "Loop": _LOOP, "Scan": _LOOP, "If": "export one branch, without conditions",
    "LayerNormalization": "train without it", "InstanceNormalization": _NORM,
    "ReduceMean": _MEAN, "ReduceMax": _MEAN, "GlobalAveragePool": _MEAN, "GlobalMaxPool": _MEAN,
    "ArgMax": _LABEL, "TopK": _LABEL, "Hardmax": _LABEL,
    "QuantizeLinear": _QUANTIZED, "DequantizeLinear": _QUANTIZED, "DynamicQuantizeLinear": _QUANTIZED,
    "MatMulInteger": _QUANTIZED, "QLinearMatMul": _QUANTIZED,
}  # fmt: skip
_HANDLERS: Mapping[str, Handler] = {**LAYOUT, **DENSE, **dict.fromkeys(CELLS, recurrent_node)}


def read(path: Path) -> Imported:
    """The model of an ONNX file; tensors in files beside it are read too."""
    file = load(path)
    with decoding(path, "ONNX file"):
        values = _evaluated(file)
    name, answer, states = _answer(file, {name: values.get(name) for name in file.outputs})
    _check_answer(file, answer, file.outputs[name])
    notes = [*_time_note(file, answer), *check_states(path, answer, states)]
    return assemble(str(path), answer.parts, answer.output, notes)


# Evaluation -----------------------------------------------------------------------


def _evaluated(file: File) -> dict[str, Value]:
    """Every value of the graph by name."""
    values: dict[str, Value] = {name: Known(array) for name, array in file.constants.items()}
    values |= {name: Signal(name, _input_axes(shape)) for name, shape in file.inputs.items()}
    for node in file.nodes:
        try:
            made = _outputs(file, node, [_read(file, node, values, name) for name in node.inputs])
        except AxesError as error:
            made = [Unknown(file.refuse(node, str(error)))] * len(node.outputs)
        except EdgernnError as error:
            made = [Unknown(error)] * len(node.outputs)
        values |= dict(zip(node.outputs, made, strict=False))
    return values


def _read(file: File, node: Node, values: Mapping[str, Value], name: str) -> Value | None:
    if name and name not in values:
        raise file.refuse(node, f"reads {name!r}, which nothing makes; export the model again")
    return values[name] if name else None


def _input_axes(shape: Shape) -> Axes:
    """An input's axes; one without a shape is taken as three of open size."""
    declared = ("", "", "") if shape is None else shape
    named = [(d, None) if isinstance(d, str) else ("", d) for d in declared]
    return tuple((Atom(name or f"axis {i}", size, i),) for i, (name, size) in enumerate(named))


def _outputs(file: File, node: Node, args: Arguments) -> list[Value]:
    """What the node makes of its inputs."""
    if not node.standard:
        raise file.refuse(
            node, f"is of the domain {node.domain!r}, whose operators are not ONNX's own; export without them, or before they"
            " were fused in"
        )  # fmt: skip
    known = [a for a in args if isinstance(a, Known) or a is None]
    if foldable(node) and len(known) == len(args):
        return folded(file, node, known)
    lost = next((a for a in args if isinstance(a, Unknown)), None)
    if lost is not None:
        return _without_shape(node, args) or [lost] * len(node.outputs)
    step = unrolled(node, args)
    if step is not None:
        return [step]
    handler = _HANDLERS.get(node.kind)
    if handler is None:
        raise file.refuse(node, f"cannot be imported; {_ADVICE.get(node.kind, 'remove it from the model or train without it')}")
    return list(handler(file, node, args))


def _without_shape(node: Node, args: Arguments) -> list[Value]:
    """Expand of a constant to a shape that cannot be followed: its values, over axes that count as 1."""
    return [Known(args[0].array, thin=True)] if node.kind == "Expand" and isinstance(args[0], Known) else []


# The answer -----------------------------------------------------------------------


def _answer(file: File, outputs: Mapping[str, Value | None]) -> tuple[str, Signal, dict[str, Signal]]:
    """The one output that is the model's answer, and those that are last states of its layers."""
    found: dict[str, Signal] = {}
    for name, value in outputs.items():
        if isinstance(value, Unknown):
            raise value.error
        if not isinstance(value, Signal) or not value.parts:
            raise EdgernnError(f"{file.path}: the output {name!r} goes through no layer; export the logits as the one output")
        found[name] = value
    states = {name: x for name, x in found.items() if x.state}
    answers = {name: x for name, x in found.items() if not x.state} or states
    if len(answers) != 1:
        shown = ", ".join(map(repr, found)) or "none"
        raise EdgernnError(f"{file.path} has the outputs {shown}; export it with one, the logits, beside its layers' states")
    (name,) = answers
    return name, answers[name], {n: x for n, x in states.items() if n != name}


def _time_note(file: File, answer: Signal) -> list[str]:
    """Which axis of the input the layers run over: a model that was meant to run over the other one looks the same."""
    axes = len(file.inputs[answer.source] or (0, 0, 0))
    place = answer.time.place if answer.time is not None else None
    if place is None:
        return []
    return [f"time is axis {place} of the {axes} of the input {answer.source!r}"]


def _check_answer(file: File, answer: Signal, declared: Shape) -> None:
    """The labels stand on an axis of their own, and the file declares as many."""
    labels = [i for i, axis in enumerate(answer.axes) if answer.is_features(axis)]
    if answer.stack is not None or answer.partial or answer.step or not labels:
        raise EdgernnError(
            f"{file.path} gives axes {describe(answer.axes)}, which mix or select time or labels; give labels the last axis"
        )
    found = sizes(answer.axes).tolist()
    if declared is not None and not _agree(declared, found):
        raise EdgernnError(
            f"{file.path} declares an output of shape {list(declared)}, but gives {describe(answer.axes)}; export it again"
        )


def _agree(declared: Sequence[object], found: Sequence[object]) -> bool:
    """Whether two shapes can be the same: as many axes, and no two closed sizes that differ."""
    pairs = zip(declared, found, strict=False)
    return len(declared) == len(found) and all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))
