"""The torch model of a list of layers, and its way back to the torch-free float net. Only training imports this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgernn.core.cell import Floats, Layer, strip

State = tuple[Tensor, ...]
NetState = list[State | None]


class Net(nn.Module):
    """Layers and head: features [B, T, bands] -> logits [B, T / frames_per_step, scores].

    Where a cell mixes rows (of neighbouring bands), values between the layers are [B, T, R, I]; cells that do not mix them
    take each row as a stream of its own that shares the weights. dropout: share of a recurrent layer's inputs left out.
    """

    def __init__(self, layers: Sequence[Layer], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = list(layers)
        self.net = nn.ModuleDict({x.name: x.cell.module(x.options, x.n_in) for x in self.layers})
        self.dropout = nn.Dropout(dropout)
        self._rows = any(x.cell.mixes_rows for x in self.layers)

    def forward(self, x: Tensor, state: NetState | None = None) -> tuple[Tensor, NetState]:
        """Run on from `state` (None: from reset); returns logits and the state to continue from, none of rows."""
        after: NetState = []
        x = x.unsqueeze(2) if self._rows else x
        for i, layer in enumerate(self.layers):
            if layer.cell.recurrent or layer.name == "head":
                x = self.dropout(x)
            module, s = self.net[layer.name], None if state is None else state[i]
            x, s = _each_row(module, x) if self._rows and not layer.cell.mixes_rows else module(x, s)
            after.append(s)
        return x.flatten(2), after

    def take(self, weights: Mapping[str, Floats]) -> None:
        """The opposite of `weights`, for nets without batch norms: what those were before they were folded nobody knows.

        A cell's `export` only renames and reshapes then, so it is asked where it puts the numbers 0, 1, 2, ..
        """
        with torch.no_grad():
            for layer in self.layers:
                own = dict(self.net[layer.name].named_parameters())
                arrays, begin = {k: b.numpy() for k, b in self.net[layer.name].named_buffers()}, 0
                flat = np.zeros(sum(p.numel() for p in own.values()), np.float32)
                for key, p in own.items():
                    arrays[key] = np.arange(begin, begin + p.numel(), dtype=np.float64).reshape(p.shape)
                    begin += p.numel()
                for key, places in layer.cell.export(arrays).items():
                    flat[np.rint(places).astype(int)] = weights[f"{layer.name}.{key}"]
                for key, p in own.items():
                    p.copy_(torch.from_numpy(flat[arrays[key].astype(int)]))

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
        """A state dict of this module -> the weights of a FloatNet, batch norms folded."""
        arrays = {name: t.detach().cpu().numpy() for name, t in tensors.items()}
        return {
            f"{layer.name}.{key}": value
            for layer in self.layers
            for key, value in layer.cell.export(strip(arrays, f"net.{layer.name}.")).items()
        }


def _each_row(module: nn.Module, x: Tensor) -> tuple[Tensor, None]:
    """[B, T, R, I] -> [B, T, R, O]: rows are streams of their own that share the weights."""
    batch, frames, rows, channels = x.shape
    streams = x.transpose(1, 2).reshape(batch * rows, frames, channels)
    y: Tensor = module(streams, None)[0]
    return y.reshape(batch, rows, frames, -1).transpose(1, 2), None
