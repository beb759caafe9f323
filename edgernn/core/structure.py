"""What a graph is made of: typed values, primitives in single-assignment form, carried states, constants (SPEC.md, 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from edgernn.core.affine import Affine
from edgernn.core.primitives import LINEAR_CONSTANTS, PREACT, Shape
from edgernn.core.qmath import PREACT_SCALE


@dataclass(frozen=True)
class Value:
    """Type of one value: shape [R, C], dtype int8 or int16, scale as the exponent b of 2^-b, or PREACT."""

    shape: Shape
    dtype: str
    scale: int | str

    @property
    def step(self) -> float:
        """What one integer step is worth."""
        return PREACT_SCALE if self.scale == PREACT else 2.0 ** -int(self.scale)

    @property
    def largest(self) -> int:
        """Largest magnitude the integer can take: 128 or 32768."""
        return 128 if self.dtype == "int8" else 32768


@dataclass(frozen=True)
class Op:
    """One primitive: `output` is its value's name and the prefix of its constants ("output.weight")."""

    kind: str
    output: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A value carried to the next step: starts at 0, read as `read`, replaced by the value `write`."""

    read: str
    write: str


@dataclass(frozen=True)
class Region:
    """The span of ops that one cell was lowered to; a fused kernel may replace it, reference backends ignore it."""

    kind: str
    name: str
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One step of an integer net: features and states in, scores and states out; nothing of what they mean.

    input, logits, posteriors: names of values; posteriors are the sigmoids of the logits, whatever a task takes them for.
    source: where it came from, by name.
    """

    name: str
    scheme: str
    values: Mapping[str, Value]
    ops: tuple[Op, ...]
    states: tuple[State, ...]
    regions: tuple[Region, ...]
    constants: Mapping[str, NDArray[Any]]
    affine: Affine
    frames_per_step: int = 1
    source: Mapping[str, str] = field(default_factory=dict)

    input: str = "features"
    logits: str = "logits"
    posteriors: str = "posteriors"

    def linear(self, output: str) -> dict[str, NDArray[Any]]:
        """The constants of the matrix product that computes `output`."""
        return {key: self.constants[f"{output}.{key}"] for key in LINEAR_CONSTANTS}

    @property
    def weight_bytes(self) -> int:
        """Every constant byte the network needs: weights, biases, multipliers, shifts."""
        return sum(a.nbytes for a in self.constants.values())

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of the network in one step."""
        rows = {op.output: self.values[op.inputs[0]].shape[0] for op in self.ops if op.kind in ("matvec", "row_conv")}
        return sum(
            a.size * rows.get(name.removesuffix(".weight"), 1) for name, a in self.constants.items() if name.endswith(".weight")
        )
