"""ONNX' GRU, LSTM and RNN: every input and attribute held against what edgernn's cells compute."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.imports._axes import Atom, Axis, core, describe, size_of
from edgernn.imports._base import recurrent, reorder
from edgernn.imports._onnx_file import File, Node
from edgernn.imports._onnx_layout import Arguments, signal
from edgernn.imports._onnx_values import Known, Signal, Start, Unknown, Value

#: activations of edgernn's cells, for one direction
CELLS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}
#: cell -> for each of edgernn's gates, the position of that gate in the file
_ORDERS = {"gru": (1, 0, 2), "gru_reset_before": (1, 0, 2), "lstm": (0, 2, 3, 1), "rnn_tanh": (0,), "rnn_relu": (0,)}
_BATCH = re.compile(r"batch.*", re.IGNORECASE)
_KNOWN = {"activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "input_forget", "layout",
          "linear_before_reset"}  # fmt: skip


def recurrent_node(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Y, Y_h and, of an LSTM, Y_c."""
    x = usable(file, node, signal(file, node, args))
    _check_variant(file, node, args)
    cell = _cell(file, node)
    weight, hidden, bias = _weights(file, node, args, cell)
    late, units = bool(node.attributes.get("layout", 0)), hidden.shape[1]
    kinds = [(i, kind) for i, kind in ((5, "h"), (6, "c")) if i < len(args) and args[i] is not None]
    starts = [_start(file, node, x, args[i], kind, units, late) for i, kind in kinds]
    x, time, batch = _sequence(file, node, x, weight.shape[1], late, any(starts))
    _check_lengths(file, node, args, time)
    for i, _ in kinds:
        _check_batch(file, node, args[i], batch, late)
    part = recurrent(node.name, cell, weight, hidden, *bias)
    features = Atom("features", units)
    made = replace(
        x, parts=(*x.parts, part), features=features, state="", starts=(*x.starts, *(s for s in starts if s is not None))
    )
    whole = (batch, time, (), (features,)) if late else (time, (), batch, (features,))
    last = (batch, (), (features,)) if late else ((), batch, (features,))
    return [replace(made, axes=whole), *(replace(made, axes=last, state=kind) for kind in ("h", "c"))][: len(node.outputs)]


def usable(file: File, node: Node, x: Signal) -> Signal:
    """The value as a layer's input; raises where it is no plain features."""
    if x.output != "logits":
        raise file.refuse(node, f"comes after a {x.output}, which edgernn has only at the end")
    if x.stack is not None:
        raise file.refuse(node, f"reads the states of {len(x.members)} layers at once; use those of the last, as in h_n[-1]")
    if x.state == "c":
        raise file.refuse(node, "reads an LSTM's cell state (c_n), which edgernn keeps to itself; read its output or h_n[-1]")
    if x.partial is not None or (x.step is not None and x.step.stage != "hidden"):
        raise file.refuse(node, _one_step(x))
    return replace(x, picks=(), step=None)


def _one_step(x: Signal) -> str:
    atom, index = x.partial or x.picks[0]
    return (
        f"works on element {index} of {atom} alone; give it the whole sequence, and if a recurrence is written out"
        " step by step here, export it with dynamo=False, which keeps it in one node"
    )


def _check_variant(file: File, node: Node, args: Arguments) -> None:
    """What edgernn's cells do not have."""
    a = node.attributes
    if a.get("direction", "forward") != "forward":
        raise file.refuse(node, f"has direction {a['direction']!r}, which needs the future; train it forward only")
    peepholes = args[7] if len(args) > 7 else None
    if peepholes is not None and not (isinstance(peepholes, Known) and not peepholes.array.any()):
        raise file.refuse(node, "has peephole weights; train an LSTM without them")
    if "clip" in a:
        raise file.refuse(node, f"clips at {a['clip']:g}; train without clip")
    if a.get("input_forget"):
        raise file.refuse(node, "couples its input and forget gates (input_forget = 1); train without")
    odd = sorted(set(a) - _KNOWN)
    if odd:
        raise file.refuse(node, f"has the attribute {odd[0]!r}, which edgernn does not know; export it without")


def _cell(file: File, node: Node) -> str:
    """edgernn's cell."""
    given = node.attributes.get("activations") or CELLS[node.kind]
    found = [str(name).capitalize() for name in given]
    if node.kind == "RNN" and found in (["Tanh"], ["Relu"]):
        return f"rnn_{found[0].lower()}"
    if found != CELLS[node.kind]:
        wanted = "Tanh or Relu" if node.kind == "RNN" else ", ".join(CELLS[node.kind])
        raise file.refuse(node, f"has the activations {', '.join(map(str, given))}; edgernn's cell has {wanted}")
    if node.kind == "LSTM":
        return "lstm"
    return "gru" if node.attributes.get("linear_before_reset", 0) else "gru_reset_before"


Weights = tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]


def _weights(file: File, node: Node, args: Arguments, cell: str) -> Weights:
    """W [gates * units, inputs], R [gates * units, units] and two biases (or none), gates in edgernn's order."""
    order = _ORDERS[cell]
    weight, hidden = (stored(file, node, args, i, 3) for i in (1, 2))
    bias = stored(file, node, args, 3, 2) if len(args) > 3 and args[3] is not None else None
    units = hidden.shape[2]
    rows = len(order) * units
    declared = node.attributes.get("hidden_size", units)
    if declared != units:
        raise file.refuse(
            node, f"has hidden_size = {declared}, but R of shape {hidden.shape} is of {units} units; export it again"
        )
    if weight.shape[:2] != (1, rows) or hidden.shape[:2] != (1, rows) or (bias is not None and bias.shape != (1, 2 * rows)):
        shapes = f"W of shape {weight.shape}, R {hidden.shape}" + (f" and B {bias.shape}" if bias is not None else "")
        raise file.refuse(node, f"has {shapes}, not those of a {cell} of {units} units in one direction; export it again")
    biases = [] if bias is None else [reorder(b, order) for b in np.split(bias[0], 2)]
    return reorder(weight[0], order), reorder(hidden[0], order), biases


def stored(file: File, node: Node, args: Arguments, i: int, ndim: int) -> NDArray[Any]:
    """Input i, a constant of `ndim` axes."""
    value = args[i] if i < len(args) else None
    if not isinstance(value, Known) or value.array.ndim != ndim:
        problem = f"has shape {value.array.shape}" if isinstance(value, Known) else "is not stored in the file"
        name = node.inputs[i] if i < len(node.inputs) else ""
        raise file.refuse(node, f"needs {ndim}-dimensional weights as input {i}, but {name!r} {problem}; export it again")
    return value.array


# Axes -----------------------------------------------------------------------------


def _sequence(file: File, node: Node, x: Signal, inputs: int, late: bool, carried: bool) -> tuple[Signal, Axis, Axis]:
    """The input, with time and features known from here on, and its time and batch axes.

    X is [time, batch, features], or batch first where layout = 1. carried: its state is an input of the graph, so that one
    step a call means something.
    """
    if len(x.axes) != 3:
        raise file.refuse(node, f"reads axes {describe(x.axes)}; it needs three: time, batch and features")
    time, batch, last = (x.axes[1], x.axes[0], x.axes[2]) if late else x.axes
    x = with_features(file, node, x, last, inputs)
    if x.time is None:
        x = replace(x, time=_time(file, node, x, time, batch, carried))
    if not x.is_time(time):
        lost = not any(x.is_time(axis) for axis in x.axes)
        why = "comes after a layer of which only the last step is taken" if lost else "runs over an axis that is not time"
        raise file.refuse(node, f"{why}: it reads {describe(x.axes)}, where time is {x.time}; {_GIVE}")
    if len(core(batch)) > 1 or any(a in (x.time, x.features) for a in core(batch)):
        raise file.refuse(node, f"reads axes {describe(x.axes)}, whose batch holds more than one axis; {_GIVE}")
    return x, time, batch


_GIVE = "give it the whole sequence, [time, batch, features] or batch_first=True"


def _time(file: File, node: Node, x: Signal, time: Axis, batch: Axis, carried: bool) -> Atom:
    """What the first recurrent layer runs over, from now on time."""
    if len(core(time)) > 1:
        raise file.refuse(node, f"runs over {describe((time,))}, several axes in one; {_GIVE}")
    atom, other = ((*core(time), *time, Atom("time", 1))[0]), (*core(batch), *batch, Atom("batch", 1))[0]
    if atom.size == 1 and not carried and (other.size != 1 or not time):
        raise file.refuse(node, f"runs over a single step of {describe(x.axes)}, so it takes the batch for time; {_GIVE}")
    if _BATCH.fullmatch(atom.name) and other.size != 1:
        raise file.refuse(
            node, f"runs over the axis {atom.name!r} of {describe(x.axes)}, so it takes the batch for time; {_GIVE}"
        )
    return atom


def with_features(file: File, node: Node, x: Signal, axis: Axis, inputs: int) -> Signal:
    """The value once it is clear that `axis`, its last, is the features, `inputs` of them."""
    if x.features is None and len(core(axis)) == 1:
        x = replace(x, features=core(axis)[0])
    if x.features is None and not core(axis):
        x = replace(x, features=Atom("features", 1))
    if not x.is_features(axis):
        raise file.refuse(
            node, f"reads axes {describe(x.axes)}, whose last is not the features alone; keep them last and whole"
        )
    if isinstance(size := size_of(axis), int) and size != inputs:
        raise file.refuse(node, f"has weights for {inputs} inputs, but reads {size} in {describe(x.axes)}; export it again")
    return x


def _check_lengths(file: File, node: Node, args: Arguments, time: Axis) -> None:
    """sequence_lens may only say what the input's shape says."""
    given = args[4] if len(args) > 4 else None
    if given is None:
        return
    whole = isinstance(given, Known) and all(n == size_of(time) for n in given.array.reshape(-1).tolist())
    if not whole:
        raise file.refuse(node, "has sequence_lens; a stream has no end: export without")


# States ---------------------------------------------------------------------------


def _start(file: File, node: Node, x: Signal, value: Value | None, kind: str, units: int, late: bool) -> Start | None:
    """The initial state: zero (None) or an input of the graph; its shape must be the layer's."""
    name = node.inputs[5 if kind == "h" else 6]
    if isinstance(value, Unknown) or value is None:
        raise file.refuse(node, f"starts from the state {name!r}, which cannot be followed; export it without an initial state")
    if isinstance(value, Known):
        if value.array.any():
            raise file.refuse(node, f"starts from the state {name!r}, which is not zero; edgernn's starts at zero")
        shape: Sequence[Any] = value.array.shape
    else:
        if value.parts or value.source == x.source:
            raise file.refuse(node, f"starts from the state {name!r}, computed from {value.source!r}; edgernn's starts at zero")
        shape = [size_of(axis) for axis in value.axes]
    direction = shape[1 if late else 0] if len(shape) == 3 else 0
    if len(shape) != 3 or (isinstance(direction, int) and direction != 1) or (isinstance(shape[2], int) and shape[2] != units):
        shown = [n if isinstance(n, int) else "?" for n in shape]
        hint = "; an LSTM with proj_size is another function: train it with proj_size=0" if node.kind == "LSTM" else ""
        raise file.refuse(node, f"has {units} units, but starts from a state of shape {shown}; export it again{hint}")
    if isinstance(value, Known):
        return None
    return Start(value.source, value.picks[0][1] if value.picks else 0, len(x.parts), kind)


def _check_batch(file: File, node: Node, value: Value | None, batch: Axis, late: bool) -> None:
    """A stored state is of as many sequences as the input."""
    size = size_of(batch)
    if isinstance(value, Known) and not value.thin and isinstance(size, int):
        found = value.array.shape[0 if late else 1]
        if found != size:
            raise file.refuse(node, f"reads {size} sequences, but starts from a state of {found}; it takes time for the batch")
