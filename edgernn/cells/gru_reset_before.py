"""GRU as first published (Cho et al. 2014): the reset gate acts before the matrix product.

Keras' GRU with reset_after=False and ONNX's with linear_before_reset = 0. Not the same function as `gru`.

    r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n  = tanh(W_in x + b_in + W_hn (r * h) + b_hn)
    h' = (1 - z) * n + z * h

Integers: gates in the order r, z, n; h, gates, candidate and r * h int16 Q15. The hidden product is cut in two, fh with
the rows of r and z, fn with those of n, because fn reads r * h: MUL(r, h), at whose int8 view fn looks in scheme int8.
h' = ADD(SUB(n, MUL(z, n)), MUL(z, h)). All biases are in the input product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._recurrent import RecurrentCell, merged_bias
from edgernn.core.cell import Builder, Floats, FloatState, Options, Weights, float_sigmoid
from edgernn.core.primitives import PREACT

if TYPE_CHECKING:
    from torch import Tensor, nn


class GRUResetBefore(RecurrentCell):
    """See the module docstring."""

    gate_count = 3
    gates = ("r", "z", "n")

    def module(self, o: Options, n_in: int) -> nn.Module:
        """A loop over time; torch.nn.GRU knows only the other form."""
        return _module(n_in, o["units"])

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        h, (gate_rows, candidate_rows) = state["h"], _hidden_rows(w)
        fx = x @ w["weight_ih"].T + merged_bias(w)[0]
        fh = h @ gate_rows.T
        xr, xz, xn = np.split(fx, 3, axis=-1)
        hr, hz = np.split(fh, 2, axis=-1)
        r, z = float_sigmoid(xr + hr), float_sigmoid(xz + hz)
        fn = (r * h) @ candidate_rows.T
        n = np.tanh(xn + fn)
        taps = {"fx": fx, "fh": fh, "r": r, "z": z, "reset": r * h, "fn": fn, "n": n}
        h = n - z * n + z * h
        return h, {"h": h}, {**taps, "h_next": h}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Integer primitives of one step."""
        units, (gate_rows, candidate_rows) = o["units"], _hidden_rows(w)
        zeros = np.zeros(2 * units, np.float32)
        h = b.state(f"{name}.h", (b.shape(x)[0], units), 15)
        fx = b.linear("matvec", f"{name}.fx", b.operand(x), w["weight_ih"], merged_bias(w)[0], PREACT)
        fh = b.linear("matvec", f"{name}.fh", b.operand(h), gate_rows, zeros, PREACT)
        xr, xz, xn = (b.columns(f"{fx}{i}", fx, i * units, units) for i in range(3))
        hr, hz = (b.columns(f"{fh}{i}", fh, i * units, units) for i in range(2))
        r = b.op("sigmoid", f"{name}.r", b.op("add", f"{name}.pre_r", xr, hr, scale=PREACT), scale=15)
        z = b.op("sigmoid", f"{name}.z", b.op("add", f"{name}.pre_z", xz, hz, scale=PREACT), scale=15)
        reset = b.op("mul", f"{name}.reset", r, h, scale=15, shift=14)
        fn = b.linear("matvec", f"{name}.fn", b.operand(reset), candidate_rows, zeros[:units], PREACT)
        n = b.op("tanh", f"{name}.n", b.op("add", f"{name}.pre_n", xn, fn, scale=PREACT), scale=15)
        fresh = b.op("sub", f"{name}.fresh", n, b.op("mul", f"{name}.zn", z, n, scale=15, shift=14), scale=15)
        kept = b.op("mul", f"{name}.kept", z, h, scale=15, shift=14)
        h_next = b.op("add", f"{name}.h_next", fresh, kept, scale=15)
        b.carry(h, h_next)
        return h_next


def _hidden_rows(w: Weights) -> tuple[Floats, Floats]:
    """weight_hh cut into the rows of r and z, which read h, and those of n, which read r * h."""
    units = w["weight_hh"].shape[1]
    return w["weight_hh"][: 2 * units], w["weight_hh"][2 * units :]


def _module(n_in: int, units: int) -> nn.Module:
    import torch
    from torch import nn

    class ResetBefore(nn.Module):
        """Parameters named and stacked as `shapes` says; orthogonal recurrent matrices a gate, as in the other cells."""

        def __init__(self) -> None:
            super().__init__()
            self.weight_ih = nn.Parameter(torch.cat([nn.init.xavier_uniform_(torch.empty(units, n_in)) for _ in range(3)]))
            self.weight_hh = nn.Parameter(torch.cat([nn.init.orthogonal_(torch.empty(units, units)) for _ in range(3)]))
            self.bias_ih = nn.Parameter(torch.zeros(3 * units))
            self.bias_hh = nn.Parameter(torch.zeros(3 * units))

        def forward(self, x: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
            """x [B, T, I] -> y [B, T, H]; the state is h [B, H]."""
            fx = x @ self.weight_ih.T + (self.bias_ih + self.bias_hh)
            gates, candidate = self.weight_hh[: 2 * units], self.weight_hh[2 * units :]
            h = x.new_zeros(len(x), units) if state is None else state[0]
            outputs = []
            for now in fx.unbind(1):
                xr, xz, xn = now.chunk(3, dim=-1)
                hr, hz = (h @ gates.T).chunk(2, dim=-1)
                z = torch.sigmoid(xz + hz)
                n = torch.tanh(xn + (torch.sigmoid(xr + hr) * h) @ candidate.T)
                h = n - z * n + z * h
                outputs.append(h)
            return torch.stack(outputs, dim=1), (h,)

    return ResetBefore()


CELL = GRUResetBefore()
