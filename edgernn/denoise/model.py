"""The torch model of a denoiser. Only training imports this file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgernn.cells._base import Floats, strip
from edgernn.denoise.floatnet import make_denoise_layers
from edgernn.denoise.recipe import DenoiseRecipe
from edgernn.floatnet import Layer


class DenoiseModel(nn.Module):
    """Normalised features [B, T, bands] -> band gains [B, T, bands] in 0..1, from reset."""

    def __init__(self, recipe: DenoiseRecipe) -> None:
        super().__init__()
        self.layers: list[Layer] = make_denoise_layers(recipe)
        self.net = nn.ModuleDict({x.name: x.cell.module(x.options, x.n_in) for x in self.layers})

    def forward(self, x: Tensor) -> Tensor:
        """See the class docstring."""
        x = x.unsqueeze(2)
        for layer in self.layers:
            module = self.net[layer.name]
            x = module(x, None)[0] if layer.cell.mixes_rows else _each_row(module, x)
        return torch.sigmoid(x).flatten(2)

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
        """A state dict of this module -> the weights of a DenoiseNet."""
        arrays = {name: t.detach().cpu().numpy() for name, t in tensors.items()}
        return {
            f"{layer.name}.{key}": value
            for layer in self.layers
            for key, value in layer.cell.export(strip(arrays, f"net.{layer.name}.")).items()
        }


def _each_row(module: nn.Module, x: Tensor) -> Tensor:
    """[B, T, R, I] -> [B, T, R, O]: rows are streams of their own that share the weights."""
    batch, frames, rows, channels = x.shape
    streams = x.transpose(1, 2).reshape(batch * rows, frames, channels)
    y: Tensor = module(streams, None)[0]
    return y.reshape(batch, rows, frames, -1).transpose(1, 2)
