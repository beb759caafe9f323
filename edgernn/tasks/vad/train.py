"""Training a voice-activity detector: binary cross-entropy over every step of streams, each from reset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.core.fresh_training import FreshTrainer
from edgernn.core.net import Net
from edgernn.core.training import PROGRESS, load_progress, normalised, training_device
from edgernn.data.corpus import Dataset
from edgernn.runs import CHECKPOINT
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.vad.banks import kept_banks
from edgernn.tasks.vad.fresh import FreshStreams
from edgernn.tasks.vad.recipe import VadNet, VadRecipe
from edgernn.tasks.vad.streams import step_labels
from edgernn.tasks.vad.truth import Bools

Progress = Callable[[str, int, int], None]
STATISTICS_STREAMS = 768  #: from which the bands' means and deviations are taken


def train_vad(recipe: VadRecipe, dataset: Dataset, folder: Path, progress: Progress, device: str = "auto") -> VadNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Raises EdgernnError when the loss is no longer finite.
    """
    where = training_device(device, recipe.train.threads)
    # refused before the banks are filled
    load_progress(folder / PROGRESS, lambda kept: make_recipe(kept) == recipe, where, {"dataset": dataset.id})
    trainer = VadTrainer(recipe, dataset, where, progress)
    trainer.resume(folder, lambda kept: make_recipe(kept) == recipe)
    trainer.run(folder, progress)
    weights = trainer.net.weights(trainer.average.state_dict())
    tables = make_tables(recipe.frontend)
    net = VadNet(recipe, (), tables, trainer.mean, trainer.deviation, weights, {"dataset": dataset.id})
    net.save(folder / CHECKPOINT)
    return net


class VadTrainer(FreshTrainer):
    """The state of one training run."""

    def __init__(self, recipe: VadRecipe, dataset: Dataset, device: torch.device, progress: Progress) -> None:
        p = recipe.train
        self.recipe = recipe
        self.streams = FreshStreams(recipe.mix, recipe.frontend, kept_banks(recipe, dataset, "train", p.stems, progress))
        heard = kept_banks(recipe, dataset, "validation", p.validation, progress)
        self.heard = FreshStreams(recipe.mix, recipe.frontend, heard).draw(
            p.validation, np.random.default_rng([recipe.seed, 23])
        )
        some = self.streams.draw(STATISTICS_STREAMS, np.random.default_rng([recipe.seed, 22]))[0]
        flat = some.reshape(-1, recipe.frontend.bands).astype(np.float64)
        self.mean, self.deviation = flat.mean(0), flat.std(0)
        torch.manual_seed(recipe.seed)
        super().__init__(recipe.to_dict(), Net(recipe.net_layers(())), p, p.updates, device, {"dataset": dataset.id})

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Fresh streams: features [B, T, bands] and answers [B, steps]."""
        return self._asked(*self.streams.draw(self.recipe.train.batch, rng))

    def _asked(self, logs: NDArray[np.int16], said: Bools) -> tuple[Tensor, Tensor]:
        r = self.recipe
        steps = logs.shape[1] // r.frames_per_step
        x = normalised(logs[:, : steps * r.frames_per_step], self.mean, self.deviation)
        answers = step_labels(said, r.frames_per_step, steps, r.train.delay_ms * SAMPLE_RATE / 1000 / r.frontend.hop)
        return x, torch.from_numpy(answers)

    def loss(self, net: Net, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[float, ...]]:
        """Binary cross-entropy; at edges an answer is the share of speech in its step."""
        x, answer = batch
        return F.binary_cross_entropy_with_logits(net(x)[0][..., 0], answer), ()

    def validate(self) -> tuple[float, ...]:
        """Loss over the validation streams."""
        logs, said = self.heard
        parts = np.array_split(np.arange(len(logs)), -(-len(logs) // 64))
        asked = ([x.to(self.device) for x in self._asked(logs[i], said[i])] for i in parts)
        losses = [float(self.loss(self.average, (x, answer))[0]) * len(x) for x, answer in asked]
        return (sum(losses) / len(logs),)
