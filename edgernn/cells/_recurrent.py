"""What the recurrent cells share: torch's weight names and the two matrix products of a step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgernn.core.cell import Builder, Cell, Floats, Options, Weights
from edgernn.core.primitives import PREACT


class RecurrentCell(Cell):
    """A cell with `gate_count` stacked gates; weights as torch orders them.

    weight_ih [G*H, I], weight_hh [G*H, H], bias_ih [G*H], bias_hh [G*H].
    """

    options: Mapping[str, int | None] = {"units": None}
    recurrent = True
    gate_count: int

    def outputs(self, o: Options, n_in: int) -> int:
        """The hidden size."""
        return o["units"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """See the class docstring."""
        rows = self.gate_count * o["units"]
        return {"weight_ih": (rows, n_in), "weight_hh": (rows, o["units"]), "bias_ih": (rows,), "bias_hh": (rows,)}

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """One hidden vector."""
        return {"h": (1, o["units"])}

    def export(self, tensors: Weights) -> dict[str, Floats]:
        """torch's names without the layer suffix."""
        return {name.removeprefix("core.").removesuffix("_l0"): a for name, a in tensors.items()}

    def products(self, w: Weights, x: Floats, h: Floats, bias_x: Floats, bias_h: Floats) -> tuple[Floats, Floats]:
        """Float pre-activations of the input and of the hidden state, [B, 1, G*H] each."""
        return x @ w["weight_ih"].T + bias_x, h @ w["weight_hh"].T + bias_h

    def lower_products(
        self, b: Builder, name: str, w: Weights, x: str, h: str, biases: tuple[Floats, Floats], scale: int | str = PREACT
    ) -> tuple[list[str], list[str]]:
        """The two matrix products, cut into gates: names of the [R, H] pieces of fx and of fh."""
        fx = b.linear("matvec", f"{name}.fx", b.operand(x), w["weight_ih"], biases[0], scale)
        fh = b.linear("matvec", f"{name}.fh", b.operand(h), w["weight_hh"], biases[1], scale)
        return self._gates(b, fx), self._gates(b, fh)

    def _gates(self, b: Builder, value: str) -> list[str]:
        if self.gate_count == 1:
            return [value]
        units = b.shape(value)[1] // self.gate_count
        return [b.columns(f"{value}{i}", value, i * units, units) for i in range(self.gate_count)]


def merged_bias(w: Weights) -> tuple[Floats, Floats]:
    """Both biases in the input product, none in the hidden one: fewer roundings where the two are added anyway."""
    return w["bias_ih"] + w["bias_hh"], np.zeros_like(w["bias_hh"])
