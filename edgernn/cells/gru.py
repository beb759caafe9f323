"""GRU in PyTorch's form (Cho et al. 2014, reset after the matrix product; ONNX linear_before_reset = 1).

    r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))
    h' = (1 - z) * n + z * h

Integers: gates in the order r, z, n; h, gates and candidate int16 Q15; b_hn stays inside the product with r;
h' = ADD(SUB(n, MUL(z, n)), MUL(z, h)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._recurrent import RecurrentCell
from edgernn.core.cell import Builder, Floats, FloatState, Options, Weights, float_sigmoid
from edgernn.core.primitives import PREACT

if TYPE_CHECKING:
    from torch import nn


def _biases(w: Weights) -> tuple[Floats, Floats]:
    """b_hr and b_hz join the input product; b_hn cannot, r multiplies it."""
    units = len(w["bias_hh"]) // 3
    outer = w["bias_hh"].copy()
    outer[2 * units :] = 0
    return w["bias_ih"] + outer, w["bias_hh"] - outer


class GRU(RecurrentCell):
    """See the module docstring."""

    gate_count = 3
    gates = ("r", "z", "n")

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.GRU."""
        from torch import nn

        from edgernn.cells._modules import Recurrent

        return Recurrent(nn.GRU(n_in, o["units"], batch_first=True))

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        h = state["h"]
        fx, fh = self.products(w, x, h, *_biases(w))
        xr, xz, xn = np.split(fx, 3, axis=-1)
        hr, hz, hn = np.split(fh, 3, axis=-1)
        r, z = float_sigmoid(xr + hr), float_sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        h = n - z * n + z * h
        return h, {"h": h}, {"fx": fx, "fh": fh, "r": r, "z": z, "n": n, "h_next": h}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Integer primitives of one step."""
        h = b.state(f"{name}.h", (b.shape(x)[0], o["units"]), 15)
        (xr, xz, xn), (hr, hz, hn) = self.lower_products(b, name, w, x, h, _biases(w))
        r = b.op("sigmoid", f"{name}.r", b.op("add", f"{name}.pre_r", xr, hr, scale=PREACT), scale=15)
        z = b.op("sigmoid", f"{name}.z", b.op("add", f"{name}.pre_z", xz, hz, scale=PREACT), scale=15)
        reset = b.op("mul", f"{name}.reset", r, hn, scale=PREACT, shift=14)
        n = b.op("tanh", f"{name}.n", b.op("add", f"{name}.pre_n", xn, reset, scale=PREACT), scale=15)
        fresh = b.op("sub", f"{name}.fresh", n, b.op("mul", f"{name}.zn", z, n, scale=15, shift=14), scale=15)
        kept = b.op("mul", f"{name}.kept", z, h, scale=15, shift=14)
        h_next = b.op("add", f"{name}.h_next", fresh, kept, scale=15)
        b.carry(h, h_next)
        return h_next


CELL = GRU()
