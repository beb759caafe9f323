"""Training a voice-activity detector: binary cross-entropy over every step of streams, each from reset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.artifacts import replacing
from edgernn.core.net import Net
from edgernn.core.training import Trainer, normalised, training_device
from edgernn.data.corpus import Dataset
from edgernn.runs import CHECKPOINT
from edgernn.signal import native
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.vad.recipe import VadNet, VadRecipe
from edgernn.tasks.vad.streams import Streams, step_labels, streams_kept

Progress = Callable[[str, int, int], None]
STATISTICS_STREAMS = 2000  #: from which the bands' means and deviations are taken


class Material:
    """Features int16 [S, T, bands] (Q9, memory-mapped) and answers float32 [S, steps] of the streams of a split."""

    def __init__(self, recipe: VadRecipe, dataset: Dataset, split: str, count: int, progress: Progress) -> None:
        rng = np.random.default_rng([recipe.seed, 21, 0 if split == "train" else 1])
        folder = dataset.path.resolve().parent / "cache"
        key = _key(dataset.id, asdict(recipe.mix), recipe.seed, split, count)
        source = Streams(recipe.mix, dataset, split, rng)
        pcm, said = streams_kept(folder / f"streams-{key}.bin", source, count, progress)
        path = folder / f"features-{_key(key, asdict(recipe.frontend))}.npy"
        if not path.exists():
            mels = native.log_mels(np.asarray(pcm), recipe.frontend, make_tables(recipe.frontend))
            with replacing(path) as scratch, scratch.open("wb") as file:
                np.save(file, mels)
        self.logs: NDArray[np.int16] = np.load(path, mmap_mode="r")
        self.steps = self.logs.shape[1] // recipe.frames_per_step
        step = recipe.frontend.hop * recipe.frames_per_step
        self.answers = step_labels(said, step, self.steps, recipe.train.delay_ms)

    def __len__(self) -> int:
        return len(self.answers)


def _key(*parts: Any) -> str:
    """Names what was prepared by everything it depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def train_vad(recipe: VadRecipe, dataset: Dataset, folder: Path, progress: Progress, device: str = "auto") -> VadNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Raises EdgernnError when the loss is no longer finite.
    """
    where = training_device(device, recipe.train.threads)
    trainer = VadTrainer(recipe, dataset, where, progress)
    trainer.resume(folder, lambda kept: make_recipe(kept) == recipe)
    trainer.run(folder, progress)
    weights = trainer.net.weights(trainer.average.state_dict())
    tables = make_tables(recipe.frontend)
    net = VadNet(recipe, (), tables, trainer.mean, trainer.deviation, weights, {"dataset": dataset.id})
    net.save(folder / CHECKPOINT)
    return net


class VadTrainer(Trainer):
    """The state of one training run."""

    def __init__(self, recipe: VadRecipe, dataset: Dataset, device: torch.device, progress: Progress) -> None:
        p = recipe.train
        self.recipe = recipe
        self.data = Material(recipe, dataset, "train", p.streams, progress)
        self.heard = Material(recipe, dataset, "validation", p.validation, progress)
        some = self.data.logs[:STATISTICS_STREAMS].reshape(-1, recipe.frontend.bands).astype(np.float64)
        self.mean, self.deviation = some.mean(0), some.std(0)
        torch.manual_seed(recipe.seed)
        super().__init__(recipe.to_dict(), Net(recipe.net_layers(())), p, max(1, len(self.data) // p.batch), device)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the streams: features [B, T, bands] and answers [B, steps]."""
        order, size = rng.permutation(len(self.data)), self.recipe.train.batch
        for i in range(self.batches_per_epoch):
            yield self._taken(self.data, np.sort(order[i * size : (i + 1) * size]))

    def _taken(self, data: Material, index: Any) -> tuple[Tensor, Tensor]:
        frames = data.steps * self.recipe.frames_per_step
        x = normalised(data.logs[index, :frames], self.mean, self.deviation)
        return x.to(self.device), torch.from_numpy(data.answers[index]).to(self.device)

    def loss(self, net: Net, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[float, ...]]:
        """Binary cross-entropy; at edges an answer is the share of speech in its step."""
        x, answer = batch
        return F.binary_cross_entropy_with_logits(net(x)[0][..., 0], answer), ()

    def validate(self) -> tuple[float, ...]:
        """Loss over the validation streams."""
        parts = np.array_split(np.arange(len(self.heard)), -(-len(self.heard) // 64))
        losses = [float(self.loss(self.average, self._taken(self.heard, i))[0]) * len(i) for i in parts]
        return (sum(losses) / len(self.heard),)
