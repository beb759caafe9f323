"""Dense layer, the same weights at every step: y = relu(norm(W x + b)). Also the pointwise half of a separable convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgernn.cells._convolution import CausalConvolution
from edgernn.core.cell import Builder, Floats, Options, Weights

if TYPE_CHECKING:
    from torch import nn


class Dense(CausalConvolution):
    """A convolution of kernel 1 that works on each row by itself."""

    options: Mapping[str, int | None] = {"units": None, "relu": 1, "norm": 1}
    kind = "matvec"

    def frames(self, o: Options) -> int:
        """One."""
        return 1

    def check(self, o: Options) -> str | None:
        """Positive sizes."""
        return super().check({**o, "kernel": 1, "stride": 1})

    def outputs(self, o: Options, n_in: int) -> int:
        """The number of units."""
        return o["units"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """weight [O, 1, I], bias [O]."""
        return {"weight": (o["units"], 1, n_in), "bias": (o["units"],)}

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """None."""
        return {}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """torch.nn.Conv1d of kernel 1, so that it shares the batch norm over time with the convolutions."""
        from torch import nn

        from edgernn.cells._modules import CausalConv

        conv = nn.Conv1d(n_in, o["units"], 1, bias=not o["norm"])
        return CausalConv(conv, bool(o["norm"]), bool(o["relu"]))

    def product(self, window: Floats, w: Weights) -> Floats:
        """[B, R, I] -> [B, R, O]."""
        return window @ w["weight"][:, 0].T + w["bias"]

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """One matrix product."""
        scale = b.exponent(f"{name}.y", headroom=1.25)
        return b.linear("matvec", f"{name}.y", b.operand(x), w["weight"][:, 0], w["bias"], scale, relu=o["relu"])


CELL = Dense()
