"""Vanilla (Elman 1990) recurrent net: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

Integers: h' = tanh(ADD(Fx, Fh)), h int16 Q15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._recurrent import RecurrentCell, merged_bias
from edgernn.core.cell import Builder, Floats, FloatState, Options, Weights
from edgernn.core.primitives import PREACT

if TYPE_CHECKING:
    from torch import nn


class TanhRNN(RecurrentCell):
    """See the module docstring."""

    gate_count = 1

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.RNN with tanh."""
        from torch import nn

        from edgernn.cells._modules import Recurrent

        return Recurrent(nn.RNN(n_in, o["units"], nonlinearity="tanh", batch_first=True))

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        fx, fh = self.products(w, x, state["h"], *merged_bias(w))
        h = np.tanh(fx + fh)
        return h, {"h": h}, {"fx": fx, "fh": fh, "h_next": h}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Integer primitives of one step."""
        h = b.state(f"{name}.h", (b.shape(x)[0], o["units"]), 15)
        (fx,), (fh,) = self.lower_products(b, name, w, x, h, merged_bias(w))
        h_next = b.op("tanh", f"{name}.h_next", b.op("add", f"{name}.pre", fx, fh, scale=PREACT), scale=15)
        b.carry(h, h_next)
        return h_next


CELL = TanhRNN()
