"""Training in PyTorch: seeded, resumable after a kill at any moment, on CPU or CUDA.

Each epoch draws its randomness from (seed, epoch), and the whole state is kept after each epoch; so a run that was
killed and started again ends with the same weights as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.core.net import Net
from edgernn.core.training import PROGRESS, Trainer, load_progress, normalised, training_device
from edgernn.data.corpus import Dataset
from edgernn.runs import CHECKPOINT
from edgernn.signal import native
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.spot.clips import TrainingSet, clip_pcm, label_indices, labels_of, training_set
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe, SpotTrain
from edgernn.tasks.spot.train_masks import mask, tilt
from edgernn.tasks.spot.train_taught import check_teachers, depends_on

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Validation:
    """Features [N, T, bands] of the validation clips, from reset, and their labels."""

    features: Tensor
    label: Tensor


def train(
    recipe: SpotRecipe,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    device: str = "auto",
    teachers: Sequence[SpotNet] = (),
) -> SpotNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Teachers are trained nets with the same front end and labels; they give
    a share of the targets (Hinton et al. 2015). Raises EdgernnError when the loss is no longer finite.
    """
    where, tables, labels = training_device(device, recipe.train.threads), make_tables(recipe.frontend), labels_of(dataset)
    check_teachers(recipe, labels, teachers)
    depends = depends_on(dataset, teachers)
    load_progress(folder / PROGRESS, lambda kept: make_recipe(kept) == recipe, where, depends)  # before an hour is spent
    data = training_set(dataset, recipe, tables, progress)
    data = data.taught_by(teachers, progress) if teachers else data
    mean, deviation = data.statistics()
    validation = _validation(dataset, recipe, mean, deviation)
    trainer = SpotTrainer(recipe, labels, data, validation, (mean, deviation), where, depends)
    trainer.resume(folder, lambda kept: make_recipe(kept) == recipe)
    trainer.run(folder, progress)
    weights = trainer.net.weights(trainer.best)
    source = {name: value for name, value in depends.items() if value}
    net = SpotNet(recipe, labels, tables, mean, deviation, weights, source)
    net.save(folder / CHECKPOINT)
    return net


def _validation(dataset: Dataset, recipe: SpotRecipe, mean: NDArray[Any], deviation: NDArray[Any]) -> Validation:
    rows = dataset.clips("validation")
    mels = native.log_mels(clip_pcm(dataset, rows, recipe.frontend.sample_rate), recipe.frontend, make_tables(recipe.frontend))
    return Validation(normalised(mels, mean, deviation), torch.from_numpy(label_indices(dataset, rows)))


class SpotTrainer(Trainer):
    """Training on augmented clips; the weights with the best validation score are kept."""

    judged = ("accuracy", "nll")

    def __init__(
        self,
        recipe: SpotRecipe,
        labels: Sequence[str],
        data: TrainingSet,
        validation: Validation,
        statistics: tuple[NDArray[Any], NDArray[Any]],
        device: torch.device,
        depends: Mapping[str, str],
    ) -> None:
        self.recipe, self.data, self.validation, self.labels = recipe, data, validation, len(labels)
        self._mean, self._deviation = statistics
        torch.manual_seed(recipe.seed)
        net = Net(recipe.net_layers(labels), recipe.train.dropout)
        batches = max(1, len(data.label) // recipe.train.batch)
        super().__init__(recipe.to_dict(), net, recipe.train, batches, device, depends)
        self._since_best, self._best_score = 0, (-1.0, 0.0)
        self.best: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """All epochs done, or no better validation score for `patience` of them."""
        return super().finished or bool(self.recipe.train.patience and self._since_best >= self.recipe.train.patience)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the training set: features [B, T, bands] and target probabilities [B, labels]."""
        p, d = self.recipe.train, self.data
        order = rng.permutation(len(d.label))
        for i in range(self.batches_per_epoch):
            index = order[i * p.batch : (i + 1) * p.batch]
            variant = rng.integers(p.variants, size=len(index))
            start = self._context_start(rng)
            mels = np.stack([d.log_mel[v, j, start:] for v, j in zip(variant, index, strict=True)])
            x = tilt(normalised(mels, self._mean, self._deviation), p.tilt, rng)
            x = mask(x, p, rng, d.log_mel.shape[2] - d.context)
            target = self._targets(index, variant)
            yield (t.to(self.device) for t in mix(x, target, p.mixup, rng))  # type: ignore[misc]

    def _targets(self, index: NDArray[np.int64], variant: NDArray[np.int64]) -> Tensor:
        """Target probabilities [B, labels]: smoothed labels, mixed with what the teachers say."""
        p = self.recipe.train
        hard = F.one_hot(torch.from_numpy(self.data.label[index]), self.labels).float()
        smooth = hard * (1 - p.label_smoothing) + p.label_smoothing / self.labels
        if self.data.soft is None:
            return smooth
        return (1 - p.distill) * smooth + p.distill * torch.from_numpy(self.data.soft[variant, index])

    def _context_start(self, rng: np.random.Generator) -> int:
        """First frame of a batch: the clip's own, or some steps of the sound before it."""
        p, per_step = self.recipe.train, self.recipe.frames_per_step
        if not self.data.context or rng.random() >= p.carried:
            return self.data.context
        return int(rng.integers(self.data.context // per_step)) * per_step

    def loss(self, net: Net, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[float, ...]]:
        """See `clip_loss`."""
        x, target = batch
        return clip_loss(net(x)[0], target, self._clip_steps, self.recipe.train), ()

    @property
    def _clip_steps(self) -> int:
        return self.recipe.steps(self.recipe.decision.clip_ms)

    def validate(self) -> tuple[float, float]:
        """Clip accuracy and mean negative log-likelihood on the validation clips; the best weights are remembered."""
        logits = torch.cat([self.average(x.to(self.device))[0] for x in torch.split(self.validation.features, 256)])
        score = logits[:, -self._clip_steps :].mean(1).cpu()
        label = self.validation.label
        accuracy, nll = float((score.argmax(1) == label).float().mean()), float(F.cross_entropy(score, label))
        self._since_best += 1
        if (accuracy, -nll) > self._best_score:
            self._best_score, self._since_best = (accuracy, -nll), 0
            self.best = {k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
        return accuracy, nll

    def state(self) -> dict[str, Any]:
        """The best weights so far."""
        return {"best": self.best, "since_best": self._since_best, "best_score": self._best_score}

    def load(self, state: Mapping[str, Any]) -> None:
        """The opposite."""
        self.best, self._since_best = state["best"], state["since_best"]
        self._best_score = tuple(state["best_score"])


def clip_loss(logits: Tensor, target: Tensor, clip_steps: int, p: SpotTrain) -> Tensor:
    """Cross-entropy of the clip score, plus a binary loss per label that calibrates the sigmoid posteriors."""
    score = logits[:, -clip_steps:].mean(1)
    loss = -(target * F.log_softmax(score, 1)).sum(1).mean()
    if p.sigmoid_loss:
        loss = loss + p.sigmoid_loss * F.binary_cross_entropy_with_logits(score, target, reduction="none").sum(1).mean()
    return loss


def mix(x: Tensor, target: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) of features and targets within the batch."""
    if alpha <= 0:
        return x, target
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(x)))
    return share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]
