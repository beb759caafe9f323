"""Trained nets that teach another one to listen without end (Hinton et al. 2015). Only training imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.core.net import Net
from edgernn.core.training import in_deviations
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe


def check_teachers(recipe: SpotRecipe, labels: tuple[str, ...], teachers: Sequence[SpotNet]) -> None:
    """They must hear and answer what is to be learnt."""
    check_hearing(recipe, [teacher.recipe for teacher in teachers])
    for teacher in teachers:
        if teacher.labels != labels:
            raise EdgernnError(f"teacher {teacher.recipe.name} has other labels; train it on this data")


def check_hearing(recipe: SpotRecipe, teachers: Sequence[SpotRecipe]) -> None:
    """Nets trained by the recipes `teachers` must hear what is to be learnt."""
    for teacher in teachers:
        if teacher.signal != recipe.signal:
            raise EdgernnError(f"teacher {teacher.name} has another front end; give both the same frontend")
        if recipe.train.kind == "streams" and teacher.frames_per_step != recipe.frames_per_step:
            raise EdgernnError(
                f"teacher {teacher.name} takes {teacher.frames_per_step} frames a step, this net {recipe.frames_per_step}: "
                "they cannot be compared step by step; give both the same strides"
            )


def depends_on(dataset: Dataset, teachers: Sequence[SpotNet]) -> dict[str, str]:
    """What a spotter's training follows beside its recipe: the dataset's id, the teachers' fingerprints."""
    return {"dataset": dataset.id, "teacher": " ".join(sorted(t.fingerprint for t in teachers))}


class Panel:
    """Teachers on a device, and what they say together of every step."""

    def __init__(self, teachers: Sequence[SpotNet], device: torch.device) -> None:
        self._nets = [(_ready(t, device), _on(t.mean, device), _on(t.deviation, device)) for t in teachers]

    def posteriors(self, log_mel: Tensor) -> Tensor:
        """Means of theirs, float32 [B, steps, labels], of features int16 [B, T, bands] (Q9), each row from reset."""
        with torch.no_grad():
            said = [torch.sigmoid(net(in_deviations(log_mel, mean, deviation))[0]) for net, mean, deviation in self._nets]
        return torch.stack(said).mean(0)


def taught_loss(logits: Tensor, said: Tensor) -> Tensor:
    """How far logits are from the posteriors `said`, [B, steps, labels] each: summed over a sequence, mean over the batch.

    The binary cross-entropy less the teachers' own entropy: 0 where the net says what they say.
    """
    entropy = F.binary_cross_entropy(said, said, reduction="sum")
    return (F.binary_cross_entropy_with_logits(logits, said, reduction="sum") - entropy) / len(logits)


def _ready(teacher: SpotNet, device: torch.device) -> Net:
    """As a module; a checkpoint's batch norms are folded into its weights, so there are none."""
    layers = teacher.recipe.net_layers(teacher.labels)
    net = Net([replace(x, options={**x.options, "norm": 0}) if "norm" in x.options else x for x in layers])
    net.take(teacher.weights)
    return net.to(device).eval()


def _on(values: NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
