"""Vanilla recurrent net with ReLU (Le, Jaitly and Hinton 2015): h' = max(0, W_ih x + b_ih + W_hh h + b_hh).

Integers: h' = ADD+ReLU(Fx, Fh); Fx, Fh and h share one scale 2^-b, calibrated with headroom x2 since h has no bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._recurrent import RecurrentCell, merged_bias
from edgernn.core.cell import Builder, Floats, FloatState, Options, Weights

if TYPE_CHECKING:
    from torch import nn


class ReluRNN(RecurrentCell):
    """See the module docstring."""

    gate_count = 1

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.RNN with ReLU, started near the identity so that gradients neither vanish nor explode."""
        import torch
        from torch import nn

        from edgernn.cells._modules import Recurrent

        recurrent = Recurrent(nn.RNN(n_in, o["units"], nonlinearity="relu", batch_first=True))
        with torch.no_grad():
            recurrent.core.get_parameter("weight_hh_l0").copy_(0.9 * torch.eye(o["units"]))
        return recurrent

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        fx, fh = self.products(w, x, state["h"], *merged_bias(w))
        h = np.maximum(fx + fh, 0)
        return h, {"h": h}, {"fx": fx, "fh": fh, "h_next": h}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Integer primitives of one step."""
        scale = b.exponent(f"{name}.fx", f"{name}.fh", f"{name}.h_next", headroom=2.0)
        h = b.state(f"{name}.h", (b.shape(x)[0], o["units"]), scale)
        (fx,), (fh,) = self.lower_products(b, name, w, x, h, merged_bias(w), scale)
        h_next = b.op("add_relu", f"{name}.h_next", fx, fh, scale=scale)
        b.carry(h, h_next)
        return h_next


CELL = ReluRNN()
