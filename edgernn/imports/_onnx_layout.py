"""ONNX operators that move, merge, add, remove or select axes: what they do to a `Signal`, exactly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgernn.imports._axes import (
    Atom,
    Axes,
    AxesError,
    core,
    describe,
    flattened,
    position,
    reshaped,
    size_of,
    sizes,
    span,
    squeezed,
    transposed,
    unsqueezed,
)
from edgernn.imports._onnx_file import File, Node
from edgernn.imports._onnx_values import Known, Signal, Unknown, Value

Arguments = Sequence[Value | None]
Handler = Callable[[File, Node, Arguments], Sequence[Value]]


def signal(file: File, node: Node, args: Arguments, i: int = 0) -> Signal:
    """Input i, which must be computed from features."""
    value = args[i] if i < len(args) else None
    if not isinstance(value, Signal):
        raise file.refuse(node, f"takes a constant as input {i}, where edgernn has features; export the model again")
    return value


def integers(file: File, node: Node, args: Arguments, i: int, attribute: str) -> list[Any] | None:
    """Integers (or open `Size`s) that newer opsets hold as input i and older ones as an attribute; None where left out."""
    given = args[i] if i < len(args) else None
    if given is None:
        value = node.attributes.get(attribute)
        return list(value) if isinstance(value, (list, tuple)) else value if value is None else [value]
    if not isinstance(given, Known) or given.array.dtype.kind not in "iuO":
        raise file.refuse(node, f"takes its {attribute} from a computed value; export it with constants")
    return list(given.array.reshape(-1).tolist())


def _same(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    return [signal(file, node, args)]


def _cast(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Between floating-point types the values stay; whole numbers are another function."""
    kind = node.attributes.get("to")
    if kind not in (1, 10, 11, 16):  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
        raise file.refuse(node, "turns features into whole numbers; export the float model without it")
    return _same(file, node, args)


def _dropout(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    mode = args[2] if len(args) > 2 else None
    if mode is not None and not (isinstance(mode, Known) and not mode.array.any()):
        raise file.refuse(node, "is in training mode; call model.eval() and export again")
    mask = Unknown(file.refuse(node, "gives its mask, which edgernn has not; export the model without"))
    return [*_same(file, node, args), mask]


def _transpose(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x = signal(file, node, args)
    order = node.attributes.get("perm", list(range(len(x.axes)))[::-1])
    return [replace(x, axes=transposed(x.axes, order))]


def _squeeze(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x, gone = signal(file, node, args), integers(file, node, args, 1, "axes")
    for i in gone or []:
        axis = x.axes[position(i, len(x.axes))]
        if not isinstance(size_of(axis), int) and (x.time is None or x.is_time(axis)):
            raise file.refuse(node, f"removes axis {i} of {describe(x.axes)}, whose size is open; select its last step instead")
    return [replace(x, axes=squeezed(x.axes, gone))]


def _unsqueeze(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x, new = signal(file, node, args), integers(file, node, args, 1, "axes")
    return [replace(x, axes=unsqueezed(x.axes, new or []))]


def _reshape(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x, target = signal(file, node, args), integers(file, node, args, 1, "shape")
    axes = reshaped(x.axes, target or [], not node.attributes.get("allowzero", 0))
    return [_whole(file, node, replace(x, axes=axes), x.axes)]


def _flatten(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x = signal(file, node, args)
    return [_whole(file, node, replace(x, axes=flattened(x.axes, node.attributes.get("axis", 1))), x.axes)]


def _whole(file: File, node: Node, x: Signal, before: Axes) -> Signal:
    """The value, once it is clear that each frame's features still have an axis of their own."""
    if x.features is not None and not any(x.is_features(axis) for axis in x.axes):
        raise file.refuse(
            node, f"joins {describe(before)} to {describe(x.axes)}, which would mix frames; keep the features apart"
        )
    return x


def _shape(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """A value's sizes, open ones as symbols."""
    held = sizes(signal(file, node, args).axes)[node.attributes.get("start", 0) : node.attributes.get("end")]
    closed = all(isinstance(n, int) for n in held.tolist())
    return [Known(held.astype(np.int64) if closed else held)]


# Selecting ------------------------------------------------------------------------


def select(x: Signal, axis: int, index: int, keep: bool) -> Signal:
    """Element `index` of an axis, whose place stays (size 1) or goes.

    The last step of time, the states of one layer, the only element of an axis of size 1, or one element of an input: no
    other is edgernn's.
    """
    at = position(axis, len(x.axes))
    chosen, size = core(x.axes[at]), size_of(x.axes[at])
    axes = (*x.axes[:at], *(((),) if keep else ()), *x.axes[at + 1 :])
    last = index == -1 or (isinstance(size, int) and index == size - 1)
    if not chosen:
        if index not in (0, -1):
            raise AxesError(f"takes element {index} of axis {axis} of {describe(x.axes)}; export the model again")
        return replace(x, axes=axes)
    if x.stack is not None and chosen == (x.stack,):
        return replace(x.members[position(index, len(x.members))], axes=axes)
    closed = len(chosen) == 1 and chosen[0].size is not None and (x.time is None or x.is_time(chosen))
    if closed and not x.is_features(chosen):
        x = replace(x, picks=(*x.picks, (chosen[0], index % (chosen[0].size or 1))))
    elif not x.is_time(chosen) or not last:
        raise AxesError(
            f"takes element {index} of axis {axis} of {describe(x.axes)}, not the last step of its time axis; {_WHERE}"
        )
    ends = x.is_time(chosen) and last and x.parts and x.parts[-1].cell != "dense"
    return replace(x, axes=axes, state="h" if ends else x.state)


_CELL = "a cell that is written out, such as nn.GRUCell, is not read: build it with nn.GRU, nn.LSTM or nn.RNN"
_WHERE = "with batch_first=True the last step is y[:, -1], without it y[-1]"


def _gather(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x, index, axis = signal(file, node, args), args[1], node.attributes.get("axis", 0)
    if not isinstance(index, Known) or index.array.size != 1 or index.array.dtype.kind not in "iu":
        raise file.refuse(node, "selects several or computed elements; edgernn imports the whole sequence or its last step")
    found = select(x, axis, int(index.array.reshape(-1)[0]), keep=index.array.ndim > 0)
    if index.array.ndim > 1:
        raise file.refuse(node, "adds axes while it selects; export the model again")
    return [found]


def _slice(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    x = signal(file, node, args)
    starts, ends = (integers(file, node, args, i, key) or [] for i, key in ((1, "starts"), (2, "ends")))
    axes = integers(file, node, args, 3, "axes") or list(range(len(starts)))
    steps = integers(file, node, args, 4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise file.refuse(node, "has starts, ends and axes of different lengths; export the model again")
    for start, stop, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept = span(x.axes[position(axis, len(x.axes))], start, stop, step)
        x = x if kept is None else select(x, axis, kept, keep=True)
    return [x]


def _split(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """Into pieces of one element each."""
    x, axis = signal(file, node, args), node.attributes.get("axis", 0)
    pieces = integers(file, node, args, 1, "split") or [1] * len(node.outputs)
    if size_of(x.axes[position(axis, len(x.axes))]) != len(pieces) or any(n != 1 for n in pieces):
        raise file.refuse(node, f"splits axis {axis} of {describe(x.axes)}; {_CELL}")
    return [_piece(file, node, x, axis, i) for i in range(len(pieces))]


def _piece(file: File, node: Node, x: Signal, axis: int, i: int) -> Value:
    try:
        return select(x, axis, i, keep=True)
    except AxesError as error:
        return Unknown(file.refuse(node, str(error)))


def _concat(file: File, node: Node, args: Arguments) -> Sequence[Value]:
    """States of several layers, one above another; only one of them can be used."""
    members = [signal(file, node, args, i) for i in range(len(args))]
    if len(members) == 1:
        return members
    at, first = position(node.attributes.get("axis", 0), len(members[0].axes)), members[0]
    alike = [_renamed(m, first.features) for m in members]
    if any(m.stack or core(m.axes[at : at + 1][0] if m.axes[at : at + 1] else (Atom("none"),)) for m in members):
        raise file.refuse(node, "joins values side by side; edgernn imports one chain, without branches")
    if any(m.axes != first.axes for m in alike):
        raise file.refuse(node, "joins states of different sizes; use those of one layer")
    layers = Atom("layers", len(members))
    axes = tuple((layers,) if i == at else axis for i, axis in enumerate(first.axes))
    return [replace(first, axes=axes, stack=layers, members=tuple(alike))]


def _renamed(x: Signal, features: Atom | None) -> Signal:
    """The same value with another atom for its features, where they are as many."""
    if x.features is None or features is None or x.features.size != features.size:
        return x
    axes = tuple(tuple(features if a is x.features else a for a in axis) for axis in x.axes)
    return replace(x, axes=axes, features=features)


LAYOUT: Mapping[str, Handler] = {
    "Identity": _same, "Cast": _cast, "Dropout": _dropout, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Reshape": _reshape, "Flatten": _flatten, "Shape": _shape, "Gather": _gather, "Slice": _slice,
    "Split": _split, "Concat": _concat,
}  # fmt: skip
