"""Depthwise causal convolution: each channel has `multiplier` filters of its own over time, one output a stride.

Followed by a `dense` layer it is a separable convolution (Howard et al. 2017): a wide view in time for few weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells._convolution import CausalConvolution
from edgernn.core.cell import Floats, Options, Weights

if TYPE_CHECKING:
    from torch import nn


class Depthwise(CausalConvolution):
    """See the module docstring."""

    options: Mapping[str, int | None] = {"kernel": None, "stride": 1, "multiplier": 1, "relu": 0, "norm": 1}
    kind = "depthwise"

    def outputs(self, o: Options, n_in: int) -> int:
        """Channels times multiplier; channel c gives outputs c*m .. c*m+m-1."""
        return n_in * o["multiplier"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """weight [C*m, K, 1], bias [C*m]."""
        rows = n_in * o["multiplier"]
        return {"weight": (rows, o["kernel"], 1), "bias": (rows,)}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.Conv1d with as many groups as channels, with batch norm."""
        from torch import nn

        from edgernn.cells._modules import CausalConv

        conv = nn.Conv1d(n_in, n_in * o["multiplier"], o["kernel"], o["stride"], groups=n_in, bias=not o["norm"])
        return CausalConv(conv, bool(o["norm"]), bool(o["relu"]))

    def product(self, window: Floats, w: Weights) -> Floats:
        """[B, K, C] -> [B, 1, C*m]."""
        filters = w["weight"][:, :, 0].reshape(window.shape[2], -1, window.shape[1])
        y: Floats = np.einsum("bkc,cmk->bcm", window, filters, optimize=True)
        return y.reshape(len(window), 1, -1) + w["bias"]


CELL = Depthwise()
