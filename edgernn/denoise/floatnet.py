"""The float denoiser without torch: what training hands over, and the reference the integer one is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.cells._base import Floats, float_sigmoid, strip
from edgernn.denoise.recipe import DenoiseRecipe, make_denoise_recipe
from edgernn.errors import EdgernnError
from edgernn.floatnet import Layer, LayeredNet, make_layers, read_checkpoint, save_checkpoint
from edgernn.stft import StftTables


@dataclass(frozen=True)
class DenoiseNet(LayeredNet):
    """A trained denoiser; its outputs are the bands' logits, whose sigmoids are the gains. source: dataset id, ..."""

    recipe: DenoiseRecipe
    tables: StftTables
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: Mapping[str, Floats]
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See `check_weights`."""
        self.check_weights()

    @property
    def layers(self) -> list[Layer]:
        """The layers; the head gives each row the gains of its own bands."""
        return make_denoise_layers(self.recipe)

    @property
    def frames_per_step(self) -> int:
        """One."""
        return 1

    def gains(self, log_bands: NDArray[np.int16]) -> Floats:
        """Q9 log band powers [B, T, bands] -> gains [B, T, bands] in 0..1, from reset."""
        return float_sigmoid(self.run(self.features(log_bands)))

    def save(self, path: Path) -> None:
        """Write the checkpoint: safetensors, the recipe as JSON in its metadata."""
        save_checkpoint(self, path, {"recipe": self.recipe.to_dict(), "source": dict(self.source)})


def make_denoise_layers(recipe: DenoiseRecipe) -> list[Layer]:
    """The recipe's layers and the head."""
    return make_layers(recipe.layers, recipe.stft.bands, recipe.stft.bands // recipe.rows)


def load_denoise_checkpoint(path: Path) -> DenoiseNet:
    """Read a checkpoint written by `DenoiseNet.save`."""
    return read_checkpoint(path, _from_parts)


def check_start(recipe: DenoiseRecipe, folder: Path) -> str:
    """Name and checksum of the trained run in `folder`; EdgernnError where the recipe's training cannot start from it."""
    net = load_denoise_checkpoint(folder / "model.safetensors")
    if (net.recipe.stft, net.recipe.layers) != (recipe.stft, recipe.layers):
        raise EdgernnError(
            f"{folder}: its net ({net.recipe.name}) has other layers or another signal path; start from a run of the same "
            "ones, or train from scratch"
        )
    if not (folder / "progress.pt").is_file():
        raise EdgernnError(f"{folder / 'progress.pt'} is missing: a training can only start from the folder of another one")
    return f"{net.recipe.name} {hashlib.sha256((folder / 'model.safetensors').read_bytes()).hexdigest()[:12]}"


def _from_parts(meta: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> DenoiseNet:
    return DenoiseNet(
        recipe=make_denoise_recipe(meta["recipe"], "checkpoint"),
        tables=StftTables(**strip(tensors, "tables.")),
        mean=tensors["mean"],
        deviation=tensors["deviation"],
        weights=strip(tensors, "net."),
        source=meta["source"],
    )
