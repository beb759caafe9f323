"""Recurrences written out step by step, as torch's default exporter does with nn.RNN: recognised and rolled up again.

    h[0] = f(p[0] + start), h[k] = f(p[k] + (h[k-1] W + b)), all h joined along time

p is a dense layer over the whole sequence, f tanh or ReLU, and every step must have the same W and b. `start` is b for a
zero state, or h W + b of a state that is an input. Each half-made step is a `Signal` with a `Step` in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.imports._axes import Axes, core, position, size_of
from edgernn.imports._base import Part, dense, recurrent
from edgernn.imports._onnx_file import Node
from edgernn.imports._onnx_values import Known, Signal, Start, Step, Value

Arguments = Sequence[Value | None]


def unrolled(node: Node, args: Arguments) -> Signal | None:
    """What the node makes where it is part of an unrolled recurrence; None where it is not."""
    first = args[0] if args else None
    if node.kind in ("Tanh", "Relu") and isinstance(first, Signal):
        return _hidden(f"rnn_{node.kind.lower()}", first)
    if node.kind == "MatMul" and isinstance(first, Signal) and isinstance(args[1], Known):
        return _product(first, args[1].array)
    if node.kind == "Add":
        return _sum(args[0], args[1]) or _sum(args[1], args[0])
    if node.kind == "Concat" and len(args) > 1 and all(isinstance(a, Signal) for a in args):
        return _joined([a for a in args if isinstance(a, Signal)], node.attributes.get("axis", 0))
    return None


def _projected(x: Value | None) -> bool:
    """Whether it is p[k]: one step of a dense layer's plain outputs."""
    if not isinstance(x, Signal) or x.step is not None or len(x.picks) != 1 or not x.parts:
        return False
    return x.parts[-1].cell == "dense" and not x.parts[-1].relu


def _sum(x: Value | None, other: Value | None) -> Signal | None:
    """h W + b, or p[k] plus what comes from the step before."""
    if not isinstance(x, Signal):
        return None
    if x.step is not None:
        return _after(x, x.step, other)
    if _projected(x) and x.picks[0][1] == 0:
        return _first(x, other) if isinstance(other, (Known, Signal)) else None
    return None


def _after(x: Signal, step: Step, other: Value | None) -> Signal | None:
    """A product with a bias added, or with p of the next step."""
    if step.stage == "product" and isinstance(other, Known) and other.array.size == len(step.bias):
        return replace(x, step=replace(step, added=step.added + other.array.reshape(-1)))
    if step.stage != "product" or not isinstance(other, Signal) or not _projected(other):
        return None
    (atom, before), (same, now) = x.picks[0], other.picks[0]
    if (
        other.parts[-1] is not step.projection
        or atom is not same
        or now != before + 1
        or not np.allclose(step.added, step.bias)
    ):
        return None
    return replace(other, axes=_broadcast(other.axes, x.axes), step=replace(step, stage="sum"), starts=x.starts)


def _first(p: Signal, start: Known | Signal) -> Signal | None:
    """p[0] plus the bias, or plus h W + b of a state that is an input."""
    projection = p.parts[-1]
    if isinstance(start, Known):
        rows = start.array.reshape(-1, start.array.shape[-1] if start.array.ndim else 1)
        if rows.shape[1] != projection.n_out or (rows != rows[0]).any():
            return None
        axes = _broadcast(p.axes, ((),) * start.array.ndim)
        return replace(p, axes=axes, step=Step("sum", projection, None, rows[0]))
    held = _state_product(start)
    if held is None or start.source == p.source:
        return None
    begin = Start(start.source, start.picks[0][1] if start.picks else 0, len(p.parts) - 1, "h")
    return replace(p, axes=_broadcast(p.axes, start.axes), step=Step("sum", projection, *held), starts=(*p.starts, begin))


def _state_product(x: Signal) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """W and b where the value is h W + b of a state that is an input, or of one layer's part of it."""
    if x.step is not None and x.step.stage == "product" and not x.parts:
        return x.step.projection.weights["weight"][:, 0], x.step.added
    if x.step is None and [part.cell for part in x.parts] == ["dense"]:
        return x.parts[0].weights["weight"][:, 0], x.parts[0].weights["bias"]
    return None


def _broadcast(axes: Axes, other: Axes) -> Axes:
    """Axes of a sum; the operand with fewer has ones in front."""
    rank = max(len(axes), len(other))
    one, two = (((),) * (rank - len(a)) + a for a in (axes, other))
    return tuple(a or b for a, b in zip(one, two, strict=True))


def _hidden(cell: str, x: Signal) -> Signal | None:
    """h[k] = f(sum); from the second step on all weights are known, and it is a recurrent layer's state."""
    step = x.step
    if step is None and cell == "rnn_tanh" and _projected(x) and x.picks[0][1] == 0:  # no bias: the first sum is p[0] itself
        step = Step("sum", x.parts[-1], None, np.zeros(x.parts[-1].n_out, np.float32))
    if step is None or step.stage != "sum" or step.cell not in ("", cell):
        return None
    step = replace(step, stage="hidden", cell=cell)
    parts = x.parts if step.weight is None else (*x.parts[:-1], _rolled(step, step.weight))
    return replace(x, parts=parts, time=x.time or x.picks[0][0], state="h", step=step)


def _rolled(step: Step, weight: NDArray[Any]) -> Part:
    held = step.projection.weights
    return recurrent(step.projection.name, step.cell, held["weight"][:, 0], weight, held["bias"], step.bias)


def _product(h: Signal, matrix: NDArray[Any]) -> Signal | None:
    """h[k] W for the step after it, h being a step before or a state that is an input.

    The last h is multiplied by the next layer's weights, which is another matter.
    """
    step = h.step
    if step is None and h.picks and not h.parts and size_of(h.axes[-1]) == len(matrix) == matrix.shape[-1]:
        none = np.zeros(len(matrix), np.float32)
        return replace(h, step=Step("product", dense("state", matrix.T, None), matrix.T, none, none))
    if step is None or step.stage != "hidden" or h.picks[0][1] + 1 == h.picks[0][0].size:
        return None
    units = len(step.bias)
    if matrix.shape != (units, units) or (step.weight is not None and not np.array_equal(step.weight, matrix.T)):
        return None
    made = replace(step, stage="product", weight=matrix.T, added=np.zeros_like(step.bias))
    return replace(h, parts=(*h.parts[:-1], step.projection), state="", step=made)


def _joined(steps: Sequence[Signal], axis: int) -> Signal | None:
    """All h along a new time axis: the layer's output."""
    last = steps[-1]
    if last.step is None or last.step.stage != "hidden" or not last.picks:
        return None
    at, atom = position(axis, len(last.axes)), last.picks[0][0]
    complete = len(steps) == atom.size and all(
        x.step is not None
        and x.step.stage == "hidden"
        and x.step.projection is last.step.projection
        and x.picks == ((atom, k),)
        and not core(x.axes[at])
        for k, x in enumerate(steps)
    )
    if not complete:
        return None
    axes = tuple((atom,) if i == at else a for i, a in enumerate(last.axes))
    return replace(last, axes=axes, picks=(), state="", step=None)
