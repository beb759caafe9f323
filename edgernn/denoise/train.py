"""Training a denoiser on mixtures made on the fly. The net reads the very features and spectra it will get on the device.

Loss: squared error of magnitudes compressed to the power of 0.3, of spectra compressed alike (Rong et al. 2024; Braun & Tashev
2021), and the negative signal-to-distortion ratio of the sound that comes out. The integers of the analysis are exact; the
synthesis is the float one, since a gradient must go through it.
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
from edgernn.denoise.floatnet import DenoiseNet
from edgernn.denoise.model import DenoiseModel
from edgernn.denoise.recipe import DenoiseRecipe, DenoiseTrain
from edgernn.features import FEATURE_LIMIT, LEAST_DEVIATION
from edgernn.stft import StftParams, StftTables, make_tables
from edgernn.training import Optimization, keep_progress, load_progress, write_metrics

Progress = Callable[[str, int, int], None]
COLUMNS = ("epoch", "loss", "magnitude", "complex", "sdr", "validation", "gradient_norm", "gradient_norm_max", "learning_rate")
STATISTICS_PAIRS = 160  #: mixtures from which the bands' means and deviations are taken
VALIDATION_MIXTURES = 20
_COMPRESSION = 0.3
_TINY = 1e-10


@dataclass(frozen=True)
class Batch:
    """log_bands Q9 [B, T, bands]; noisy and clean spectra, complex [B, T, bins], of float sound; clean sound [B, n]."""

    log_bands: Tensor
    noisy: Tensor
    clean: Tensor
    sound: Tensor


def train_denoiser(
    recipe: DenoiseRecipe, dataset: Dataset, folder: Path, progress: Progress, device: str = "auto"
) -> DenoiseNet:
    """Train the recipe's model on a prepared dataset; writes `metrics.csv` and `model.safetensors` into `folder`.

    Running it again on the same folder resumes. Raises EdgernnError when the loss is no longer finite.
    """
    torch.set_num_threads(recipe.train.threads)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    trainer = DenoiseTrainer(recipe, dataset, where)
    trainer.resume(folder / "progress.pt")
    while not trainer.finished:
        trainer.epoch(progress)
        trainer.keep(folder / "progress.pt", folder / "metrics.csv")
    weights = trainer.net.weights(trainer.average.state_dict())
    net = DenoiseNet(recipe, trainer.tables, trainer.mean, trainer.deviation, weights, {"dataset": dataset.id})
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
        self._epoch = 0
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
        means, worst = np.mean(rows, axis=0), float(np.max(rows, axis=0)[4])
        values = (self._epoch, *means[:4], self.validate(), means[4], worst, self._optimization.rate)
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

    def _step(self, batch: Batch) -> tuple[float, float, float, float, float]:
        """One update; returns loss, its three parts, and the gradient norm before clipping."""
        parts = losses(self._enhanced(self.net, batch), batch, self.recipe.stft)
        loss = _weighted(parts, self.recipe.train)
        value, norm = self._optimization.update(loss, self._epoch + 1)
        magnitude, compressed, sdr = (float(x.detach()) for x in parts)
        return value, magnitude, compressed, sdr, norm

    def validate(self) -> float:
        """Loss of the averaged weights on fixed mixtures of the validation split."""
        self.average.eval()
        with torch.no_grad():
            parts = losses(self._enhanced(self.average, self._validation), self._validation, self.recipe.stft)
        return float(_weighted(parts, self.recipe.train))

    def keep(self, path: Path, metrics: Path) -> None:
        """Write everything needed to go on, and the metrics so far."""
        own = {"recipe": self.recipe.to_dict(), "epoch": self._epoch, "history": self.history}
        keep_progress({**own, **self._optimization.state()}, path)
        write_metrics(self.history, COLUMNS, metrics)

    def resume(self, path: Path) -> None:
        """Go on where `keep` left off, if it did."""
        state = load_progress(path, self.recipe.to_dict(), self.device)
        if state is None:
            return
        self._optimization.load(state)
        self._epoch, self.history = state["epoch"], state["history"]


def _statistics(recipe: DenoiseRecipe, dataset: Dataset, tables: StftTables) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each band's Q9 log power over mixtures of the train split."""
    mixer = Mixer(recipe.mix, dataset, "train", np.random.default_rng([recipe.seed, 3]))
    logs = np.concatenate([native.analyze(mixer().noisy, recipe.stft, tables)[1] for _ in range(STATISTICS_PAIRS)])
    return logs.mean(axis=0, dtype=np.float64), logs.std(axis=0, dtype=np.float64)


def _spectra(integers: list[NDArray[np.int32]], p: StftParams) -> Tensor:
    """Integer spectra [T, bins, 2] -> complex float [B, T, bins] of sound in -1..1, in the scale of torch.fft.rfft."""
    scale = np.float32(p.window / 2.0**30)
    return torch.view_as_complex(torch.from_numpy(np.stack(integers).astype(np.float32) * scale))


def overlap_added(spectra: Tensor, p: StftParams) -> Tensor:
    """Complex [B, T, bins] -> sound [B, (T - 1) * hop]: what the integer synthesis gives one hop later."""
    taper = torch.sin(torch.pi * (torch.arange(p.window, device=spectra.device) + 0.5) / p.window)
    frames: Tensor = torch.fft.irfft(spectra, n=p.window) * taper
    return (frames[:, :-1, p.hop :] + frames[:, 1:, : p.hop]).flatten(1)


def losses(enhanced: Tensor, batch: Batch, p: StftParams) -> tuple[Tensor, Tensor, Tensor]:
    """(magnitude, complex, negative SDR in dB) of enhanced spectra; pairs without speech do not count in the SDR."""
    magnitude, wanted = ((x.real**2 + x.imag**2 + _TINY).sqrt() for x in (enhanced, batch.clean))
    small, target = magnitude**_COMPRESSION, wanted**_COMPRESSION
    shape, shaped = enhanced * (small / magnitude), batch.clean * (target / wanted)
    error = torch.view_as_real(shape - shaped).square().sum(-1).mean()
    return (small - target).square().mean(), error, -_sdr(overlap_added(enhanced, p), batch.sound)


def _sdr(y: Tensor, target: Tensor) -> Tensor:
    """Mean over the pairs with speech of 10 log10(|target|^2 / |y - target|^2)."""
    signal, noise = target.square().sum(1), (y - target).square().sum(1)
    spoken = (signal > 1e-7 * target.shape[1]).float()
    ratio = 10 * torch.log10((signal + 1e-6) / (noise + 1e-6) + 1e-4)
    mean: Tensor = (ratio * spoken).sum() / spoken.sum().clamp(min=1)
    return mean


def _weighted(parts: tuple[Tensor, Tensor, Tensor], p: DenoiseTrain) -> Tensor:
    return p.magnitude_loss * parts[0] + p.complex_loss * parts[1] + p.sdr_loss * parts[2]
