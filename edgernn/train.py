"""Training in PyTorch: seeded, resumable after a kill at any moment, on CPU or CUDA.

Each epoch draws its randomness from (seed, epoch), and the whole state is kept after each epoch; so a run that was
killed and started again ends with the same weights as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.clips import TrainingSet, clip_pcm, label_indices, labels_of, log_mels, training_set
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.features import FEATURE_LIMIT, LEAST_DEVIATION, Int16, make_tables
from edgernn.floatnet import FloatNet
from edgernn.model import Net
from edgernn.recipe import Recipe, TrainParams
from edgernn.training import Optimization, keep_progress, load_progress, write_metrics

Progress = Callable[[str, int, int], None]
COLUMNS = ("epoch", "loss", "accuracy", "nll", "gradient_norm", "gradient_norm_max", "clipped", "learning_rate")


@dataclass(frozen=True)
class Validation:
    """Features [N, T, bands] of the validation clips, from reset, and their labels."""

    features: Tensor
    label: Tensor


def train(
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    device: str = "auto",
    teachers: Sequence[FloatNet] = (),
) -> FloatNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Teachers are trained nets with the same front end and labels; they give
    a share of the targets (Hinton et al. 2015). Raises EdgernnError when the loss is no longer finite.
    """
    torch.set_num_threads(recipe.train.threads)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    tables = make_tables(recipe.frontend)
    _check_teachers(recipe, labels_of(dataset), teachers)
    data = training_set(dataset, recipe, tables, progress)
    data = data.taught_by(teachers, progress) if teachers else data
    mean, deviation = data.statistics()
    trainer = Trainer(
        recipe, len(labels_of(dataset)), data, _validation(dataset, recipe, mean, deviation), mean, deviation, where
    )
    trainer.resume(folder / "progress.pt")
    while not trainer.finished:
        trainer.epoch(progress)
        trainer.keep(folder / "progress.pt", folder / "metrics.csv")
    weights = trainer.net.weights(trainer.best)
    net = FloatNet(recipe, labels_of(dataset), tables, mean, deviation, weights, {"dataset": dataset.id})
    net.save(folder / "model.safetensors")
    return net


def _check_teachers(recipe: Recipe, labels: tuple[str, ...], teachers: Sequence[FloatNet]) -> None:
    for teacher in teachers:
        if teacher.recipe.frontend != recipe.frontend or teacher.labels != labels:
            raise EdgernnError(f"teacher {teacher.recipe.name} has another front end or other labels; train it on this data")


def _validation(dataset: Dataset, recipe: Recipe, mean: NDArray[Any], deviation: NDArray[Any]) -> Validation:
    rows = dataset.clips("validation")
    mels = log_mels(clip_pcm(dataset, rows), recipe, make_tables(recipe.frontend))
    return Validation(_normalised(mels, mean, deviation), torch.from_numpy(label_indices(dataset, rows)))


def _normalised(log_mel: Int16, mean: NDArray[Any], deviation: NDArray[Any]) -> Tensor:
    """As FloatNet.features, in float32 throughout: training does not need the last bit."""
    x = (log_mel.astype(np.float32) - mean.astype(np.float32)) / np.maximum(deviation, LEAST_DEVIATION).astype(np.float32)
    return torch.from_numpy(np.clip(x, -FEATURE_LIMIT, FEATURE_LIMIT))


class Trainer:
    """The state of one training run."""

    def __init__(
        self,
        recipe: Recipe,
        labels: int,
        data: TrainingSet,
        validation: Validation,
        mean: NDArray[Any],
        deviation: NDArray[Any],
        device: torch.device,
    ) -> None:
        self.recipe, self.data, self.validation, self.device = recipe, data, validation, device
        self._mean, self._deviation = mean, deviation
        torch.manual_seed(recipe.seed)
        self.labels = labels
        self.net = Net(recipe, labels).to(device)
        p = recipe.train
        self._batches = max(1, len(data.label) // p.batch)
        self._optimization = Optimization(self.net, p, p.epochs * self._batches)
        self._epoch, self._since_best, self._best_score = 0, 0, (-1.0, 0.0)
        self.best: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        """All epochs done, or no better validation score for `patience` of them."""
        p = self.recipe.train
        return self._epoch >= p.epochs or bool(p.patience and self._since_best >= p.patience)

    def epoch(self, progress: Progress) -> None:
        """One pass over the training set, then validation of the averaged weights."""
        rng = np.random.default_rng([self.recipe.seed, 7, self._epoch])
        torch.manual_seed(int(rng.integers(2**31)))
        self.net.train()
        losses, norms = [], []
        for i, (x, target) in enumerate(self._batches_of(rng)):
            loss, norm = self._step(x, target)
            losses.append(loss)
            norms.append(norm)
            progress("training", self._epoch * self._batches + i + 1, self.recipe.train.epochs * self._batches)
        self._epoch += 1
        self._judge(float(np.mean(losses)), np.array(norms))

    def _batches_of(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of features [B, T, bands] and target probabilities [B, labels]."""
        p, d = self.recipe.train, self.data
        order = rng.permutation(len(d.label))
        for i in range(self._batches):
            index = order[i * p.batch : (i + 1) * p.batch]
            variant = rng.integers(p.variants, size=len(index))
            start = self._context_start(rng)
            mels = np.stack([d.log_mel[v, j, start:] for v, j in zip(variant, index, strict=True)])
            x = tilt(_normalised(mels, self._mean, self._deviation), p.tilt, rng)
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

    def _step(self, x: Tensor, target: Tensor) -> tuple[float, float]:
        """One update; returns the loss and the gradient norm before clipping."""
        p = self.recipe.train
        logits, _ = self.net(x)
        loss = clip_loss(logits, target, self._clip_steps, p)
        return self._optimization.update(loss, self._epoch + 1)

    @property
    def _clip_steps(self) -> int:
        return self.recipe.steps(self.recipe.decision.clip_ms)

    def _judge(self, loss: float, norms: NDArray[np.float64]) -> None:
        """Validate, remember the best weights, add a line to the history."""
        accuracy, nll = self.validate()
        self._since_best += 1
        if (accuracy, -nll) > self._best_score:
            self._best_score, self._since_best = (accuracy, -nll), 0
            self.best = {k: v.detach().cpu().clone() for k, v in self._optimization.average.state_dict().items()}
        values = (self._epoch, loss, accuracy, nll, norms.mean(), norms.max(),
                  np.mean(norms > self.recipe.train.clip_norm), self._optimization.rate)  # fmt: skip
        self.history.append(dict(zip(COLUMNS, map(float, values), strict=True)))

    def validate(self) -> tuple[float, float]:
        """Clip accuracy and mean negative log-likelihood of the averaged weights on the validation clips."""
        average = self._optimization.average.eval()
        with torch.no_grad():
            logits = torch.cat([average(x.to(self.device))[0] for x in torch.split(self.validation.features, 256)])
        score = logits[:, -self._clip_steps :].mean(1).cpu()
        label = self.validation.label
        return float((score.argmax(1) == label).float().mean()), float(F.cross_entropy(score, label))

    def keep(self, path: Path, metrics: Path) -> None:
        """Write everything needed to go on, and the metrics so far."""
        state = {
            "recipe": self.recipe.to_dict(), **self._optimization.state(), "best": self.best, "epoch": self._epoch,
            "since_best": self._since_best, "best_score": self._best_score, "history": self.history,
        }  # fmt: skip
        keep_progress(state, path)
        write_metrics(self.history, COLUMNS, metrics)

    def resume(self, path: Path) -> None:
        """Go on where `keep` left off, if it did; a different recipe is an error, not a mixture."""
        state = load_progress(path, self.recipe.to_dict(), self.device)
        if state is None:
            return
        self._optimization.load(state)
        self.best, self.history = state["best"], state["history"]
        self._epoch, self._since_best, self._best_score = state["epoch"], state["since_best"], tuple(state["best_score"])


def clip_loss(logits: Tensor, target: Tensor, clip_steps: int, p: TrainParams) -> Tensor:
    """Cross-entropy of the clip score, plus a binary loss per label that calibrates the sigmoid posteriors."""
    score = logits[:, -clip_steps:].mean(1)
    loss = -(target * F.log_softmax(score, 1)).sum(1).mean()
    if p.sigmoid_loss:
        loss = loss + p.sigmoid_loss * F.binary_cross_entropy_with_logits(score, target, reduction="none").sum(1).mean()
    return loss


def tilt(x: Tensor, amount: float, rng: np.random.Generator) -> Tensor:
    """Another microphone: level, slope and bend of the spectrum vary by `amount` standard deviations from clip to clip."""
    if amount <= 0:
        return x
    at = np.linspace(-1, 1, x.shape[2])
    shapes = np.stack([np.ones_like(at), at, np.cos(np.pi * at)])
    curves = amount * rng.standard_normal((len(x), 3)) @ shapes
    return x + torch.from_numpy(curves.astype(np.float32))[:, None]


def mask(x: Tensor, p: TrainParams, rng: np.random.Generator, clip_frames: int) -> Tensor:
    """SpecAugment (Park et al. 2019): set random spans of frames (of the clip's own) and of bands to the mean, 0."""
    batch, frames, bands = x.shape
    for _ in range(p.time_masks):
        begin = frames - clip_frames + rng.integers(clip_frames, size=(batch, 1))
        x = x * _outside(frames, begin, rng.integers(p.time_mask_frames + 1, size=(batch, 1)))[:, :, None]
    for _ in range(p.band_masks):
        begin = rng.integers(bands, size=(batch, 1))
        x = x * _outside(bands, begin, rng.integers(p.band_mask_bands + 1, size=(batch, 1)))[:, None, :]
    return x


def _outside(size: int, begin: NDArray[np.int64], length: NDArray[np.int64]) -> Tensor:
    at = np.arange(size)[None]
    return torch.from_numpy(~((at >= begin) & (at < begin + length))).float()


def mix(x: Tensor, target: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) of features and targets within the batch."""
    if alpha <= 0:
        return x, target
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(x)))
    return share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]
