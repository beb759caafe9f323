"""All bands of a frame folded into rows of neighbouring bands, each told what the whole spectrum is doing.

    local   = relu(W_l [x_(r-k) .. x_(r+k)] + b_l)       row r: its bands and its neighbours', the same weights for every row
    h       = GRU(relu(W_d x + b_d), h)                  one GRU over all bands
    context = relu(W_u h + b_u)                          `width` numbers for each row, weights of its own
    y_r     = [local_r, context_r]

After it come layers whose weights are shared by all rows. Sharing one recurrence over bands is what lets few weights do
much work (cf. Rong et al. 2024, "GTCRN"; Li & Horaud 2019, sub-band LSTM). With context = 0 there is no GRU and no context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgernn.cells.gru import CELL as GRU_CELL
from edgernn.cells.row_conv import row_product
from edgernn.core.cell import Builder, Cell, Floats, FloatState, Options, Weights, strip

if TYPE_CHECKING:
    from torch import nn


class Subbands(Cell):
    """See the module docstring."""

    options: Mapping[str, int | None] = {"rows": None, "units": None, "kernel": 3, "context": 0, "width": 0}
    mixes_rows = True

    def check(self, o: Options) -> str | None:
        """Context and its width go together."""
        if o["kernel"] % 2 == 0:
            return f"kernel = {o['kernel']} must be odd"
        if bool(o["context"]) != bool(o["width"]):
            return f"context = {o['context']} and width = {o['width']} must both be 0 or both be positive"
        return super().check({k: v for k, v in o.items() if v or k not in ("context", "width")})

    def outputs(self, o: Options, n_in: int) -> int:
        """Local and context channels."""
        return o["units"] + o["width"]

    def rows(self, o: Options, rows_in: int) -> int:
        """As the option says."""
        return o["rows"]

    def shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """local.weight [U, K, bands / rows]; down.weight [C, bands]; gru.* as torch has them; up.weight [rows * width, C]."""
        shapes: dict[str, tuple[int, ...]] = {
            "local.weight": (o["units"], o["kernel"], n_in // o["rows"]),
            "local.bias": (o["units"],),
        }
        if o["context"]:
            c, wide = o["context"], o["rows"] * o["width"]
            shapes |= {"down.weight": (c, n_in), "down.bias": (c,), "up.weight": (wide, c), "up.bias": (wide,)}
            shapes |= {f"gru.{k}": v for k, v in GRU_CELL.shapes({"units": c}, c).items()}
        return shapes

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """The GRU's hidden state."""
        return {"gru.h": (1, o["context"])} if o["context"] else {}

    def module(self, o: Options, n_in: int) -> nn.Module:
        """See `_modules.SubbandFold`."""
        from edgernn.cells._modules import SubbandFold

        return SubbandFold(n_in, dict(o))

    def export(self, tensors: Weights) -> dict[str, Floats]:
        """The module's names are `shapes`' but for the window's layout and torch's suffixes."""
        local = strip(tensors, "local.")
        kernel = int(local["kernel"])
        weight = local["linear.weight"]
        out = {"local.weight": weight.reshape(len(weight), kernel, -1), "local.bias": local["linear.bias"]}
        if "down.weight" in tensors:
            out |= {k: tensors[k] for k in ("down.weight", "down.bias", "up.weight", "up.bias")}
            out |= {f"gru.{k}": v for k, v in GRU_CELL.export(strip(tensors, "gru.")).items()}
        return out

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step: x [B, 1, bands] -> [B, rows, U + width]."""
        local = np.maximum(row_product(x.reshape(len(x), o["rows"], -1), w["local.weight"], w["local.bias"]), 0)
        if not o["context"]:
            return local, {}, {"local": local}
        down = np.maximum(x @ w["down.weight"].T + w["down.bias"], 0)
        h, after, taps = GRU_CELL.step({"units": o["context"]}, strip(w, "gru."), down, {"h": state["gru.h"]})
        up = np.maximum(h @ w["up.weight"].T + w["up.bias"], 0)
        y = np.concatenate([local, up.reshape(len(x), o["rows"], -1)], axis=2)
        taps = {f"gru.{k}": v for k, v in taps.items()} | {"local": local, "down": down, "up": up}
        return y, {"gru.h": after["h"]}, taps

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """Both paths at one scale, then side by side."""
        taps = [f"{name}.local", *([f"{name}.up"] if o["context"] else [])]
        scale = b.exponent(*taps, headroom=1.25)
        seen = b.operand(x)
        weight = w["local.weight"].reshape(len(w["local.bias"]), -1)
        folded = b.reshape(f"{name}.rows", seen, o["rows"])
        local = b.linear("row_conv", f"{name}.local", folded, weight, w["local.bias"], scale, relu=1)
        if not o["context"]:
            return local
        narrow = b.exponent(f"{name}.down", headroom=1.25)
        down = b.linear("matvec", f"{name}.down", seen, w["down.weight"], w["down.bias"], narrow, relu=1)
        h = GRU_CELL.lower(b, f"{name}.gru", {"units": o["context"]}, strip(w, "gru."), down)
        up = b.linear("matvec", f"{name}.up", b.operand(h), w["up.weight"], w["up.bias"], scale, relu=1)
        return b.concat_columns(f"{name}.y", local, b.reshape(f"{name}.context", up, o["rows"]))


CELL = Subbands()
