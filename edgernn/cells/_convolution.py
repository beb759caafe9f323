"""What the two causal convolutions share: history as state, batch norm folded, ReLU fused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgernn.core.cell import Builder, Cell, Floats, FloatState, Options, Weights, strip


class CausalConvolution(Cell):
    """A window of `kernel` frames, `stride` of them new; the others are carried and start at zero."""

    kind: str  #: the primitive

    def frames(self, o: Options) -> int:
        """The stride."""
        return o["stride"]

    def check(self, o: Options) -> str | None:
        """The window must reach at least over the new frames."""
        if o["kernel"] < o["stride"]:
            return f"kernel = {o['kernel']} is shorter than stride = {o['stride']}"
        return super().check(o)

    def state_shapes(self, o: Options, n_in: int) -> Mapping[str, tuple[int, ...]]:
        """The carried frames, none where kernel = stride."""
        keep = o["kernel"] - o["stride"]
        return {"history": (keep, n_in)} if keep else {}

    def export(self, tensors: Weights) -> dict[str, Floats]:
        """Fold the batch norm (eps 1e-5) into weight and bias; torch's [O, I, K] becomes [O, K, I]."""
        weight = tensors["conv.weight"].astype(np.float64)
        bias = tensors.get("conv.bias", np.zeros(len(weight))).astype(np.float64)
        norm = strip(tensors, "norm.")
        if norm:
            gain = norm["weight"] / np.sqrt(norm["running_var"].astype(np.float64) + 1e-5)
            weight = weight * gain[:, None, None]
            bias = (bias - norm["running_mean"]) * gain + norm["bias"]
        return {"weight": weight.transpose(0, 2, 1).astype(np.float32), "bias": bias.astype(np.float32)}

    def product(self, window: Floats, w: Weights) -> Floats:
        """Window [B, K, I] -> [B, 1, O], bias included."""
        raise NotImplementedError

    def step(self, o: Options, w: Weights, x: Floats, state: FloatState) -> tuple[Floats, FloatState, dict[str, Floats]]:
        """One float step."""
        window = np.concatenate([state["history"], x], axis=1) if "history" in state else x
        y = self.product(window, w)
        y = np.maximum(y, 0) if o["relu"] else y
        return y, {"history": window[:, o["stride"] :]} if "history" in state else {}, {"y": y}

    def lower(self, b: Builder, name: str, o: Options, w: Weights, x: str) -> str:
        """concat(history, frames) -> product -> history of the next step."""
        window, keep = b.operand(x), o["kernel"] - o["stride"]
        if keep:
            history = b.state_like(f"{name}.history", keep, window)
            window = b.concat(f"{name}.window", history, window)
            b.carry(history, b.rows(f"{name}.history_next", window, o["stride"], keep))
        scale = b.exponent(f"{name}.y", headroom=1.25)
        rows = len(w["bias"])
        return b.linear(self.kind, f"{name}.y", window, w["weight"].reshape(rows, -1), w["bias"], scale, relu=o["relu"])
