"""Training a denoiser on mixtures made on the fly. The net reads the very features and spectra it will get on the device.

What is lowered stands in `edgernn/denoise/losses.py`. The integers of the analysis are exact; the synthesis is the float one,
since a gradient must go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgernn import native
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixer, Pair, make_mixtures
from edgernn.denoise.floatnet import DenoiseNet, check_start, load_denoise_checkpoint
from edgernn.denoise.losses import Losses, measure
from edgernn.denoise.model import DenoiseModel
from edgernn.denoise.recipe import DenoiseRecipe
from edgernn.errors import EdgernnError
from edgernn.features import FEATURE_LIMIT, LEAST_DEVIATION
from edgernn.stft import StftParams, StftTables, make_tables
from edgernn.training import Optimization, keep_progress, load_progress, write_metrics

Progress = Callable[[str, int, int], None]
PARTS = ("magnitude", "complex", "sdr", "intelligibility")  #: of the loss, see `edgernn/denoise/losses.py`
COLUMNS = ("epoch", "loss", *PARTS, "validation", "gradient_norm", "gradient_norm_max", "learning_rate")
STATISTICS_PAIRS = 160  #: mixtures from which the bands' means and deviations are taken
VALIDATION_MIXTURES = 20


@dataclass(frozen=True)
class Batch:
    """log_bands Q9 [B, T, bands]; noisy and clean spectra, complex [B, T, bins], of float sound; clean sound [B, n]."""

    log_bands: Tensor
    noisy: Tensor
    clean: Tensor
    sound: Tensor


def train_denoiser(
    recipe: DenoiseRecipe,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    device: str = "auto",
    start: Path | None = None,
) -> DenoiseNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. `start`: a trained run whose weights a new training begins with; its net must
    have the same shape. Raises EdgernnError when the loss is no longer finite.
    """
    torch.set_num_threads(recipe.train.threads)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    origin = check_start(recipe, start) if start else ""
    trainer = DenoiseTrainer(recipe, dataset, where)
    if trainer.resume(folder / "progress.pt"):
        trainer.must_come_from(origin, folder)
    elif start is not None:
        trainer.start_from(start, origin)
        trainer.keep(folder / "progress.pt", folder / "metrics.csv")  # from now on the folder knows where it came from
    while not trainer.finished:
        trainer.epoch(progress)
        trainer.keep(folder / "progress.pt", folder / "metrics.csv")
    weights = trainer.net.weights(trainer.average.state_dict())
    source = {"dataset": dataset.id, **({"start": trainer.origin} if trainer.origin else {})}
    net = DenoiseNet(recipe, trainer.tables, trainer.mean, trainer.deviation, weights, source)
    net.save(folder / "model.safetensors")
    return net


class DenoiseTrainer:
    """The state of one training run."""

    def __init__(self, recipe: DenoiseRecipe, dataset: Dataset, device: torch.device) -> None:
        self.recipe, self.data, self.device = recipe, dataset, device
        self.tables = make_tables(recipe.stft)
        self.mean, self.deviation = _statistics(recipe, dataset, self.tables)
        torch.manual_seed(recipe.seed)
        self.net = DenoiseModel(recipe).to(device)
        self._optimization = Optimization(self.net, recipe.train, recipe.train.epochs * recipe.train.batches)
        self._validation = self._batch([m.pair for m in make_mixtures(dataset, "validation", VALIDATION_MIXTURES, recipe.seed)])
        self._epoch, self.origin = 0, ""
        self.history: list[dict[str, float]] = []

    @property
    def average(self) -> DenoiseModel:
        """The moving average of the weights: what is validated and kept."""
        found: DenoiseModel = self._optimization.average  # type: ignore[assignment]
        return found

    @property
    def finished(self) -> bool:
        """All epochs done."""
        return self._epoch >= self.recipe.train.epochs

    def epoch(self, progress: Progress) -> None:
        """One epoch of fresh mixtures, then validation of the averaged weights."""
        p = self.recipe.train
        mixer = Mixer(self.recipe.mix, self.data, "train", np.random.default_rng([self.recipe.seed, 7, self._epoch]))
        self.net.train()
        rows = []
        for i in range(p.batches):
            rows.append(self._step(self._batch([mixer() for _ in range(p.batch)])))
            progress("training", self._epoch * p.batches + i + 1, p.epochs * p.batches)
        self._epoch += 1
        means, worst = np.mean(rows, axis=0), float(np.max(rows, axis=0)[-1])
        values = (self._epoch, *means[:-1], self.validate(), means[-1], worst, self._optimization.rate)
        self.history.append(dict(zip(COLUMNS, map(float, values), strict=True)))

    def _batch(self, pairs: list[Pair]) -> Batch:
        """Pairs cut to the shortest's length, analysed by the integer signal path."""
        p = self.recipe.stft
        length = min(len(x.noisy) for x in pairs) // p.hop * p.hop
        noisy = [native.analyze(x.noisy[:length], p, self.tables) for x in pairs]
        clean = [native.analyze(x.clean[:length], p, self.tables)[0] for x in pairs]
        sound = torch.from_numpy(np.stack([x.clean[: length - p.hop] for x in pairs]).astype(np.float32) / 32768)
        logs = torch.from_numpy(np.stack([x[1] for x in noisy]).astype(np.float32))
        parts = (logs, _spectra([x[0] for x in noisy], p), _spectra(clean, p), sound)
        return Batch(*(x.to(self.device) for x in parts))

    def _enhanced(self, net: DenoiseModel, batch: Batch) -> Tensor:
        """Gains times the noisy spectra."""
        mean, deviation = (torch.from_numpy(a.astype(np.float32)).to(self.device) for a in (self.mean, self.deviation))
        x = (batch.log_bands - mean) / deviation.clamp(min=LEAST_DEVIATION)
        gains = net(x.clamp(-FEATURE_LIMIT, FEATURE_LIMIT))
        spread: Tensor = gains[:, :, torch.from_numpy(self.recipe.stft.band_of_bin()).to(self.device)]
        return batch.noisy * spread

    def _losses(self, net: DenoiseModel, batch: Batch) -> Losses:
        return measure(self._enhanced(net, batch), batch.clean, batch.sound, self.recipe.stft)

    def _step(self, batch: Batch) -> tuple[float, ...]:
        """One update; returns loss, its parts, and the gradient norm before clipping."""
        found = self._losses(self.net, batch)
        value, norm = self._optimization.update(found.weighted(self.recipe.train), self._epoch + 1)
        return value, *(float(getattr(found, part).detach()) for part in PARTS), norm

    def validate(self) -> float:
        """Loss of the averaged weights on fixed mixtures of the validation split."""
        self.average.eval()
        with torch.no_grad():
            return float(self._losses(self.average, self._validation).weighted(self.recipe.train))

    def keep(self, path: Path, metrics: Path) -> None:
        """Write everything needed to go on, and the metrics so far."""
        statistics = {"mean": torch.from_numpy(self.mean), "deviation": torch.from_numpy(self.deviation)}
        own = {"recipe": self.recipe.to_dict(), "epoch": self._epoch, "history": self.history, "origin": self.origin}
        keep_progress({**own, **statistics, **self._optimization.state()}, path)
        write_metrics(self.history, COLUMNS, metrics)

    def resume(self, path: Path) -> bool:
        """Go on where `keep` left off; False if it never did."""
        state = load_progress(path, self.recipe.to_dict(), self.device)
        if state is None:
            return False
        self._optimization.load(state)
        self._epoch, self.history, self.origin = state["epoch"], state["history"], state["origin"]
        self.mean, self.deviation = (state[key].cpu().numpy() for key in ("mean", "deviation"))
        return True

    def start_from(self, folder: Path, origin: str) -> None:
        """Take weights, and the statistics they were trained with, from a run that has been trained."""
        net = load_denoise_checkpoint(folder / "model.safetensors")
        self.mean, self.deviation, self.origin = net.mean, net.deviation, origin
        self._optimization.start_from(folder / "progress.pt", self.device)

    def must_come_from(self, origin: str, folder: Path) -> None:
        """A training that goes on keeps its start; another one asked for is an error."""
        if origin and origin != self.origin:
            began = f"began with {self.origin}" if self.origin else "began from scratch"
            raise EdgernnError(f"{folder} {began}, not with {origin}; leave --start out to go on, or choose another folder")


def _statistics(recipe: DenoiseRecipe, dataset: Dataset, tables: StftTables) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each band's Q9 log power over mixtures of the train split."""
    mixer = Mixer(recipe.mix, dataset, "train", np.random.default_rng([recipe.seed, 3]))
    logs = np.concatenate([native.analyze(mixer().noisy, recipe.stft, tables)[1] for _ in range(STATISTICS_PAIRS)])
    return logs.mean(axis=0, dtype=np.float64), logs.std(axis=0, dtype=np.float64)


def _spectra(integers: list[NDArray[np.int32]], p: StftParams) -> Tensor:
    """Integer spectra [T, bins, 2] -> complex float [B, T, bins] of sound in -1..1, in the scale of torch.fft.rfft."""
    scale = np.float32(p.window / 2.0**30)
    return torch.view_as_complex(torch.from_numpy(np.stack(integers).astype(np.float32) * scale))
