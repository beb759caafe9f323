"""The torch model of a recipe, and its way back to the torch-free float net. Only training imports this file."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from edgernn.cells._base import Floats, strip
from edgernn.cells._modules import State
from edgernn.floatnet import Layer, make_layers
from edgernn.recipe import Recipe

NetState = list[State | None]


class Net(nn.Module):
    """The layers of a recipe and the head: features [B, T, bands] -> logits [B, T / frames_per_step, labels]."""

    def __init__(self, recipe: Recipe, labels: int) -> None:
        super().__init__()
        self.layers: list[Layer] = make_layers(recipe.layers, recipe.frontend.bands, labels)
        self.net = nn.ModuleDict({x.name: x.cell.module(x.options, x.n_in) for x in self.layers})
        self.dropout = nn.Dropout(recipe.train.dropout)

    def forward(self, x: Tensor, state: NetState | None = None) -> tuple[Tensor, NetState]:
        """Run on from `state` (None: from reset); returns logits and the state to continue from."""
        after: NetState = []
        for i, layer in enumerate(self.layers):
            if layer.cell.recurrent or layer.name == "head":
                x = self.dropout(x)
            x, s = self.net[layer.name](x, None if state is None else state[i])
            after.append(s)
        return x, after

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
        """A state dict of this module -> the weights of a FloatNet, batch norms folded."""
        arrays = {name: t.detach().cpu().numpy() for name, t in tensors.items()}
        return {
            f"{layer.name}.{key}": value
            for layer in self.layers
            for key, value in layer.cell.export(strip(arrays, f"net.{layer.name}.")).items()
        }
