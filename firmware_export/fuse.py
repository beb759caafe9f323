"""Which operations share one loop: runs of entry-by-entry ones, so that what lies between them needs no buffer.

A run goes over the same rows and columns in every operation. Values that nobody else reads live in the loop's variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op

#: kinds that work entry by entry, and the attribute that is their last argument
ENTRYWISE = {"add": "", "sub": "", "add_relu": "", "mul": "shift", "sigmoid": "", "tanh": "", "narrow": "",
             "cell_to_preact": "exponent"}  # fmt: skip
VIEWS = ("slice_rows", "slice_columns", "reshape")


@dataclass(frozen=True)
class Step:
    """Operations that become one call, or one loop where `fused`; `kept`: values that others read."""

    ops: tuple[Op, ...]
    fused: bool = False
    kept: tuple[str, ...] = ()


def single_steps(g: NetGraph) -> list[Step]:
    """Every operation alone."""
    return [Step((op,), kept=(op.output,)) for op in g.ops]


def fused_steps(g: NetGraph) -> list[Step]:
    """Runs of entry-by-entry operations together, views of what came before them moved to their front."""
    steps: list[Step] = []
    run: list[Op] = []
    for op in g.ops:
        if op.kind in ENTRYWISE and (not run or g.values[op.output].shape == g.values[run[0].output].shape):
            run.append(op)
        elif op.kind in VIEWS and run and op.inputs[0] not in {x.output for x in run}:
            steps.append(Step((op,), kept=(op.output,)))
        else:
            steps += _closed(g, run)
            run = [op] if op.kind in ENTRYWISE else []
            steps += [] if run else [Step((op,), kept=(op.output,))]
    return steps + _closed(g, run)


def _closed(g: NetGraph, run: Sequence[Op]) -> list[Step]:
    """A run as a step; what is read outside it is kept."""
    if not run:
        return []
    inside = {id(op) for op in run}
    outside = {x for op in g.ops if id(op) not in inside for x in op.inputs} | {s.write for s in g.states}
    outside |= {g.logits, g.posteriors}
    return [Step(tuple(run), True, tuple(op.output for op in run if op.output in outside))]
