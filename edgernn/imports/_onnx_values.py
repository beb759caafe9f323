"""What each value of an ONNX graph is: a constant, features on their way through the chain, or nothing edgernn has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.imports._axes import Atom, Axes, core
from edgernn.imports._base import Part


@dataclass(frozen=True)
class Known:
    """A constant, or a shape whose open sizes are `Size`s (dtype object).

    thin: an axis of open size, over which the values are all the same, counts as 1 in `array`.
    """

    array: NDArray[Any]
    thin: bool = False


@dataclass(frozen=True)
class Unknown:
    """What cannot be followed; the error is raised where the model's answer depends on it."""

    error: EdgernnError


@dataclass(frozen=True)
class Start:
    """A recurrent layer's initial state that is an input of the graph: `part` is the layer's place in the chain.

    index: which of the input's elements it is, where the input holds the states of several layers.
    """

    source: str
    index: int
    part: int
    kind: str


@dataclass(frozen=True, eq=False)
class Step:
    """One step of an unrolled recurrence (`_unrolled`): what has been made of it, a "sum", "hidden" or "product".

    projection: the dense layer of its input; weight [units, units] and bias [units] of its state, the weight None until the
    second step shows it; added: the bias of this step so far; cell: "" until an activation tells.
    """

    stage: str
    projection: Part
    weight: NDArray[Any] | None
    bias: NDArray[Any]
    added: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    cell: str = ""


@dataclass(frozen=True, eq=False)
class Signal:
    """A value computed from one input of the graph, `source`, by `parts`.

    axes: what they mean; time and features: their atoms, once a layer has told which they are. output: what was applied to
    the logits. state: "h" or "c" for a layer's last state. picks: (atom, index) of axes of the input of which one element
    was taken. members: the values stacked over `stack`. starts: initial states that are inputs. step: where it is part of an
    unrolled recurrence.
    """

    source: str
    axes: Axes
    parts: tuple[Part, ...] = ()
    time: Atom | None = None
    features: Atom | None = None
    output: str = "logits"
    state: str = ""
    picks: tuple[tuple[Atom, int], ...] = ()
    stack: Atom | None = None
    members: tuple[Signal, ...] = ()
    starts: tuple[Start, ...] = ()
    step: Step | None = None

    @property
    def partial(self) -> tuple[Atom, int] | None:
        """(axis, element) where the value is one element of an axis of the input, other than the last step of time."""
        return next(((a, i) for a, i in self.picks if a is not self.time or i + 1 != a.size), None)

    def is_time(self, axis: tuple[Atom, ...]) -> bool:
        """Whether the axis is time and nothing else."""
        return self.time is not None and core(axis) == core((self.time,))

    def is_features(self, axis: tuple[Atom, ...]) -> bool:
        """Whether the axis is the features and nothing else."""
        return self.features is not None and core(axis) == core((self.features,))


Value = Known | Unknown | Signal
