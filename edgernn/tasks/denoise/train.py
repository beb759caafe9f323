"""Training a denoiser on mixtures made on the fly. The net reads the very features and spectra it will get on the device.

What is lowered stands in `losses.py`. The integers of the analysis are exact; the synthesis is the float one, since a gradient
must go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgernn.core.net import Net
from edgernn.core.training import in_deviations, training_device
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Pair, make_mixtures
from edgernn.signal import native
from edgernn.signal.audio import Int16
from edgernn.signal.stft import StftParams, make_tables
from edgernn.tasks._mixture_trainer import MixtureTrainer
from edgernn.tasks.denoise.losses import Losses, measure, overlap_added
from edgernn.tasks.denoise.recipe import DenoiseNet, DenoiseRecipe
from edgernn.tasks.denoise.train_opinion import Listener

Progress = Callable[[str, int, int], None]
VALIDATION_MIXTURES = 20


@dataclass(frozen=True)
class Batch:
    """log_bands Q9 [B, T, bands]; noisy and clean spectra, complex [B, T, bins], of float sound; clean sound [B, n]."""

    log_bands: Tensor
    noisy: Tensor
    clean: Tensor
    sound: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(x.to(device) for x in (self.log_bands, self.noisy, self.clean, self.sound)))


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
    where = training_device(device, recipe.train.threads)
    return DenoiseTrainer(recipe, dataset, where).trained(folder, progress, start)


class DenoiseTrainer(MixtureTrainer):
    """The state of one training run."""

    #: of the loss, see losses.py; the last one is DNSMOS of the pairs that were listened to, 0 while none are
    parts = ("magnitude", "complex", "sdr", "intelligibility", "residue", "opinion")
    recipe: DenoiseRecipe

    def __init__(self, recipe: DenoiseRecipe, dataset: Dataset, device: torch.device) -> None:
        self._listener = Listener().to(device) if recipe.train.opinion_loss else None
        super().__init__(recipe, dataset, make_tables(recipe.stft), device)
        fixed = [m.pair for m in make_mixtures(dataset, "validation", VALIDATION_MIXTURES, recipe.seed)]
        self._validation = self.batch(fixed).to(device)

    def log_bands(self, pcm: Int16) -> NDArray[np.int16]:
        """See the base class."""
        return native.analyze(pcm, self.recipe.stft, self.tables)[1]

    def batch(self, pairs: list[Pair]) -> Batch:
        """Pairs cut to the shortest's length, analysed by the integer signal path."""
        p = self.recipe.stft
        length = min(len(x.noisy) for x in pairs) // p.hop * p.hop
        noisy = [native.analyze(x.noisy[:length], p, self.tables) for x in pairs]
        clean = [native.analyze(x.clean[:length], p, self.tables)[0] for x in pairs]
        sound = torch.from_numpy(np.stack([x.clean[: length - p.hop] for x in pairs]).astype(np.float32) / 32768)
        logs = torch.from_numpy(np.stack([x[1] for x in noisy]).astype(np.float32))
        return Batch(logs, _spectra([x[0] for x in noisy], p), _spectra(clean, p), sound)

    def enhanced(self, net: Net, batch: Batch) -> Tensor:
        """Gains times the noisy spectra."""
        mean, deviation = (torch.from_numpy(a.astype(np.float32)).to(self.device) for a in (self.mean, self.deviation))
        gains = torch.sigmoid(net(in_deviations(batch.log_bands, mean, deviation))[0])
        spread: Tensor = gains[:, :, torch.from_numpy(self.recipe.stft.band_of_bin()).to(self.device)]
        return batch.noisy * spread

    def losses(self, enhanced: Tensor, batch: Batch) -> Losses:
        """Part by part."""
        return measure(enhanced, batch.clean, batch.sound, self.recipe.stft)

    def loss(self, net: Net, batch: Batch) -> tuple[Tensor, tuple[float, ...]]:
        """The recipe's sum, and its parts."""
        p, enhanced = self.recipe.train, self.enhanced(net, batch)
        found = self.losses(enhanced, batch)
        parts = tuple(float(getattr(found, part).detach()) for part in self.parts[:-1])
        if self._listener is None or self._epoch < round(p.opinion_from * self.epochs):
            return found.weighted(p), (*parts, 0.0)
        opinion = self._listener(overlap_added(enhanced[: p.opinion_pairs], self.recipe.stft)).mean()
        return found.weighted(p) - p.opinion_loss * opinion, (*parts, float(opinion.detach()))

    def validate(self) -> tuple[float, ...]:
        """Loss of the averaged weights on fixed mixtures of the validation split, to which nobody listens."""
        enhanced = self.enhanced(self.average, self._validation)
        return (float(self.losses(enhanced, self._validation).weighted(self.recipe.train)),)


def _spectra(integers: list[NDArray[np.int32]], p: StftParams) -> Tensor:
    """Integer spectra [T, bins, 2] -> complex float [B, T, bins] of sound in -1..1, in the scale of torch.fft.rfft."""
    scale = np.float32(p.window / 2.0**30)
    return torch.view_as_complex(torch.from_numpy(np.stack(integers).astype(np.float32) * scale))
