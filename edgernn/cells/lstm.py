"""LSTM in PyTorch's form (Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000, no peepholes).

    i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)      f, o likewise
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    c' = f * c + i * g
    h' = o * tanh(c')

Integers: gates in the order i, f, g, o; c int16 at 2^-e, e in {12, 11, 10, 9}, the largest without saturation in
calibration; tanh reads c through P(c) = floor((2^(14-e) c + 3) / 6), which is 3*2^-13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._recurrent import RecurrentCell, merged_bias
from edgernn.core.cell import Builder, Floats, FloatState, Options, Weights, float_sigmoid
from edgernn.core.primitives import PREACT

if TYPE_CHECKING:
    from torch import nn


class LSTM(RecurrentCell):
    """See the module docstring."""

    gate_count = 4
    gates = ("i", "f", "g", "o")

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """Hidden and cell vector."""
        return {"h": (1, o["units"]), "c": (1, o["units"])}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.LSTM."""
        from torch import nn

        from edgernn.cells._modules import Recurrent

        return Recurrent(nn.LSTM(n_in, o["units"], batch_first=True))

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        fx, fh = self.products(w, x, state["h"], *merged_bias(w))
        pi, pf, pg, po = np.split(fx + fh, 4, axis=-1)
        i, f, out = float_sigmoid(pi), float_sigmoid(pf), float_sigmoid(po)
        g = np.tanh(pg)
        c = f * state["c"] + i * g
        h = out * np.tanh(c)
        return h, {"h": h, "c": c}, {"fx": fx, "fh": fh, "i": i, "f": f, "g": g, "o": out, "c_next": c, "h_next": h}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Integer primitives of one step."""
        shape = (b.shape(x)[0], o["units"])
        # c may grow without end where a forget gate stays open; beyond 12 its tanh is 1, so an end at 64 does no harm
        e = b.exponent(f"{name}.c_next", choices=(12, 11, 10, 9), saturating=True)
        h, c = b.state(f"{name}.h", shape, 15), b.state(f"{name}.c", shape, e)
        xs, hs = self.lower_products(b, name, w, x, h, merged_bias(w))
        pre = [b.op("add", f"{name}.pre_{k}", xs[j], hs[j], scale=PREACT) for j, k in enumerate(self.gates)]
        i, f, g, out = (
            b.op("tanh" if k == "g" else "sigmoid", f"{name}.{k}", p, scale=15) for k, p in zip(self.gates, pre, strict=True)
        )
        kept = b.op("mul", f"{name}.kept", f, c, scale=e, shift=14)
        fresh = b.op("mul", f"{name}.fresh", i, g, scale=e, shift=29 - e)
        c_next = b.op("add", f"{name}.c_next", kept, fresh, scale=e)
        inner = b.op("cell_to_preact", f"{name}.pre_c", c_next, scale=PREACT, exponent=e)
        h_next = b.op("mul", f"{name}.h_next", out, b.op("tanh", f"{name}.tanh_c", inner, scale=15), scale=15, shift=14)
        b.carry(h, h_next)
        b.carry(c, c_next)
        return h_next


CELL = LSTM()
