"""What every cell provides, what its lowering may ask of the graph builder, and a layer: a cell with its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]
Options = Mapping[str, int]
FloatState = dict[str, Floats]
FLAGS = ("relu", "norm")  #: options that are 0 or 1


class Builder(Protocol):
    """The graph under construction, as a cell's lowering sees it. Values are handled by name."""

    def operand(self, x: str) -> str:
        """The value as the scheme's matrix products take it: itself, or its int8 view."""

    def state(self, name: str, shape: tuple[int, int], scale: int, dtype: str = "int16") -> str:
        """Declare a carried value that starts at 0; returns its name."""

    def state_like(self, name: str, rows: int, x: str) -> str:
        """Declare a carried value of `rows` rows with the type of x."""

    def carry(self, state: str, value: str) -> None:
        """Make `value` the state of the next step."""

    def exponent(self, *taps: str, headroom: float = 1.0, choices: tuple[int, ...] = ..., saturating: bool = False) -> int:
        """The largest power-of-two exponent at which none of these calibrated float taps saturates.

        saturating: if there is none, the last of the choices, instead of an error.
        """

    def linear(self, kind: str, output: str, x: str, weight: Floats, bias: Floats, scale: int | str, relu: int = 0) -> str:
        """Quantize a matrix product row by row ("matvec", "row_conv", "conv" or "depthwise") and append it."""

    def op(self, kind: str, output: str, *inputs: str, scale: int | str, **attrs: int) -> str:
        """Append any other primitive; int16 result at `scale`."""

    def concat(self, output: str, *inputs: str) -> str:
        """Rows one after the other."""

    def concat_columns(self, output: str, *inputs: str) -> str:
        """Channels one after the other, row by row."""

    def reshape(self, output: str, x: str, rows: int) -> str:
        """The same entries in so many equal rows."""

    def rows(self, output: str, x: str, begin: int, size: int) -> str:
        """Some rows of a value."""

    def columns(self, output: str, x: str, begin: int, size: int) -> str:
        """Some channels of a value."""

    def shape(self, x: str) -> tuple[int, int]:
        """[R, C] of a value."""


class Cell(ABC):
    """One kind of layer. Shapes: B streams, F frames a step, I input and O output channels."""

    #: option name -> default (None: required); the recipe's layer may set these and no others
    options: Mapping[str, int | None]
    #: True for cells whose hidden state feeds back (their streams are checked for being alive)
    recurrent: bool = False
    #: float taps that are gates in [0, 1] or candidates in [-1, 1], for the liveness check
    gates: tuple[str, ...] = ()
    #: True for cells that see all rows of a value at once; their torch modules take [B, T, R, I] instead of [B, T, I]
    mixes_rows: bool = False

    @property
    def name(self) -> str:
        """The name recipes use: that of the cell's file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    @abstractmethod
    def outputs(self, o: Options, n_in: int) -> int:
        """Output channels O."""

    def frames(self, o: Options) -> int:
        """Input frames one step consumes."""
        return 1

    def rows(self, o: Options, rows_in: int) -> int:
        """Rows of the output; most cells work on each row by itself, with the same weights."""
        return rows_in

    def check(self, o: Options) -> str | None:
        """What is wrong with these options, if anything."""
        return next((f"{k} = {v} must be positive" for k, v in o.items() if v < 0 or (v == 0 and k not in FLAGS)), None)

    @abstractmethod
    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the float weights, as `step` and `lower` take them."""

    @abstractmethod
    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the carried float state, without the stream dimension."""

    @abstractmethod
    def module(self, o: Options, n_in: int) -> nn.Module:
        """The torch module: forward(x [B, T, I], state or None) -> (y [B, T / frames, O], state)."""

    @abstractmethod
    def export(self, tensors: Weights) -> dict[str, Floats]:
        """The trained module's state dict -> weights as in `shapes`, batch norms folded."""

    @abstractmethod
    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step: x [B, F, I] -> y [B, 1, O], the next state, and taps [B, R, C] named as the lowering's values."""

    @abstractmethod
    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Append this layer's integer primitives to the graph; returns the output value's name."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer as a recipe names it: its cell and the cell's options, completed with their defaults."""

    cell: str
    options: Mapping[str, int]


@dataclass(frozen=True)
class Layer:
    """One layer of a float net: its name (unique), cell, options and input width."""

    name: str
    cell: Cell
    options: Mapping[str, int]
    n_in: int

    @property
    def n_out(self) -> int:
        """Output channels."""
        return self.cell.outputs(self.options, self.n_in)


def float_sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow warnings."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), dtype=x.dtype)


def strip(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose name starts with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
