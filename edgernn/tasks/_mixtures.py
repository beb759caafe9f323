"""What tasks share that learn from mixtures of speech and noise: streams of them, and a start from another run's weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.data.corpus import Dataset
from edgernn.data.mixing import MixConfig, Mixer
from edgernn.errors import EdgernnError
from edgernn.recipe import Recipe
from edgernn.runs import CHECKPOINT, PROGRESS, located, run_checkpoint
from edgernn.signal.audio import Int16


def mix_of(recipe: Recipe) -> MixConfig:
    """The recipe's section `mix`."""
    found: Any = recipe
    section: MixConfig = found.mix
    return section


def calibration_sounds(recipe: Recipe, dataset: Dataset) -> list[Int16]:
    """Streams of training mixtures, end to end, of equal lengths."""
    q = recipe.quantize
    mixer = Mixer(mix_of(recipe), dataset, "train", np.random.default_rng([recipe.seed, 9]))
    return [mixer.stream(q.stream_seconds) for _ in range(q.streams)]


def stream_of(recipe: Recipe, dataset: Dataset, split: str, seconds: float) -> Int16:
    """One stream of mixtures of a split."""
    return Mixer(mix_of(recipe), dataset, split, np.random.default_rng([recipe.seed, 13])).stream(seconds)


def check_start(recipe: Recipe, folder: Path) -> str:
    """Name and checksum of the trained run in `folder`; EdgernnError where the recipe's training cannot start from it."""
    folder = located(folder)
    net = run_checkpoint(folder)
    if (net.recipe.signal, net.recipe.layers) != (recipe.signal, recipe.layers):
        raise EdgernnError(
            f"{folder}: its net ({net.recipe.name}) has other layers or another signal path; start from a run of the same "
            "ones, or train from scratch"
        )
    if not (folder / PROGRESS).is_file() and any(layer.options.get("norm") for layer in recipe.layers):
        raise EdgernnError(
            f"{folder / PROGRESS} is missing, and the checkpoint does not hold the batch norms of its layers apart; start from "
            "the folder of a training"
        )
    return f"{net.recipe.name} {hashlib.sha256((folder / CHECKPOINT).read_bytes()).hexdigest()[:12]}"
