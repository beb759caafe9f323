"""Causal convolution over time, all channels: y = relu(norm(W [window of kernel frames] + b)), one output a stride."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgernn.cells._convolution import CausalConvolution
from edgernn.core.cell import Floats, Options, Weights

if TYPE_CHECKING:
    from torch import nn


class Conv(CausalConvolution):
    """See the module docstring."""

    options: Mapping[str, int | None] = {"units": None, "kernel": None, "stride": 1, "relu": 1, "norm": 1}
    kind = "conv"

    def outputs(self, o: Options, n_in: int) -> int:
        """The number of filters."""
        return o["units"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """weight [O, K, I], bias [O]."""
        return {"weight": (o["units"], o["kernel"], n_in), "bias": (o["units"],)}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.Conv1d with batch norm."""
        from torch import nn

        from edgernn.cells._modules import CausalConv

        conv = nn.Conv1d(n_in, o["units"], o["kernel"], o["stride"], bias=not o["norm"])
        return CausalConv(conv, bool(o["norm"]), bool(o["relu"]))

    def product(self, window: Floats, w: Weights) -> Floats:
        """[B, K, I] -> [B, 1, O]."""
        flat = window.reshape(len(window), 1, -1)
        return flat @ w["weight"].reshape(len(w["bias"]), -1).T + w["bias"]


CELL = Conv()
