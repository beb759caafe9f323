"""Convolution over rows, here frequency bands: each row sees its neighbours, y_r = relu(W [x_(r-k) .. x_(r+k)] + b).

The same weights serve every row, zeros stand beyond the ends. For nets whose recurrence is shared over bands: between two
such layers it lets neighbouring bands talk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgernn.core.cell import Builder, Cell, Floats, FloatState, Options, Weights

if TYPE_CHECKING:
    from torch import nn


def row_windows(x: Floats, kernel: int) -> Floats:
    """[B, R, C] -> [B, R, kernel * C]: each row with its neighbours."""
    around = kernel // 2
    padded = np.pad(x, ((0, 0), (around, around), (0, 0)))
    return np.concatenate([padded[:, k : k + x.shape[1]] for k in range(kernel)], axis=2)


def row_product(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """[B, R, I] -> [B, R, O] with weight [O, K, I]."""
    return np.asarray(row_windows(x, weight.shape[1]) @ weight.reshape(len(weight), -1).T + bias, dtype=x.dtype)


class RowConv(Cell):
    """See the module docstring."""

    options: Mapping[str, int | None] = {"units": None, "kernel": 3, "relu": 1}
    mixes_rows = True

    def check(self, o: Options) -> str | None:
        """The window must have a middle."""
        return f"kernel = {o['kernel']} must be odd" if o["kernel"] % 2 == 0 else super().check(o)

    def outputs(self, o: Options, n_in: int) -> int:
        """The number of filters."""
        return o["units"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """weight [O, K, I], bias [O]."""
        return {"weight": (o["units"], o["kernel"], n_in), "bias": (o["units"],)}

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """None."""
        return {}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """A linear layer over the windows."""
        from edgernn.cells._modules import RowConvolution

        return RowConvolution(n_in, o["units"], o["kernel"], bool(o["relu"]))

    def export(self, tensors: Weights) -> dict[str, Floats]:
        """torch's [O, K * I] becomes [O, K, I]."""
        weight, bias = tensors["linear.weight"], tensors["linear.bias"]
        kernel = int(tensors["kernel"])
        return {"weight": weight.reshape(len(weight), kernel, -1), "bias": bias}

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        y = row_product(x, w["weight"], w["bias"])
        y = np.maximum(y, 0) if o["relu"] else y
        return y, {}, {"y": y}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """One product."""
        scale = b.exponent(f"{name}.y", headroom=1.25)
        rows = len(w["bias"])
        return b.linear("row_conv", f"{name}.y", b.operand(x), w["weight"].reshape(rows, -1), w["bias"], scale, relu=o["relu"])


CELL = RowConv()
