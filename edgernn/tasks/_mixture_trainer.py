"""Training on mixtures made on the fly, from scratch or from another run's weights. Only training imports this file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgernn.core.floatnet import FloatNet
from edgernn.core.fresh_training import FreshTrainer
from edgernn.core.net import Net
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixer, Pair
from edgernn.errors import EdgernnError
from edgernn.recipe import Recipe
from edgernn.runs import CHECKPOINT, PROGRESS, located, run_checkpoint
from edgernn.signal.audio import Int16
from edgernn.tasks import make_recipe
from edgernn.tasks._mixtures import check_start, mix_of

Progress = Callable[[str, int, int], None]
STATISTICS_PAIRS = 160  #: mixtures from which the bands' means and deviations are taken


class MixtureTrainer(FreshTrainer):
    """An epoch is `train.batches` batches of `train.batch` fresh pairs; validation is on fixed mixtures."""

    def __init__(self, recipe: Recipe, dataset: Dataset, tables: Any, device: torch.device, labels: Sequence[str] = ()) -> None:
        self.recipe, self.data, self.tables, self.labels, self.origin = recipe, dataset, tables, tuple(labels), ""
        self.mean, self.deviation = self._statistics()
        torch.manual_seed(recipe.seed)
        settings: Any = recipe.train
        self._pairs = settings.batch
        depends = {"dataset": dataset.id}
        super().__init__(recipe.to_dict(), Net(recipe.net_layers(labels)), settings, settings.batches, device, depends)

    @abstractmethod
    def log_bands(self, pcm: Int16) -> NDArray[np.int16]:
        """Q9 log-energies [T, bands] of PCM [n], from reset."""

    @abstractmethod
    def batch(self, pairs: list[Pair]) -> Any:
        """What `loss` takes, on the CPU."""

    def pairs(self, rng: np.random.Generator) -> Callable[[], Pair]:
        """A source of training pairs."""
        return Mixer(mix_of(self.recipe), self.data, "train", rng)

    def draw(self, rng: np.random.Generator) -> Any:
        """Fresh mixtures."""
        source = self.pairs(rng)
        return self.batch([source() for _ in range(self._pairs)])

    def _statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each band's Q9 log power over mixtures of the train split."""
        source = self.pairs(np.random.default_rng([self.recipe.seed, 3]))
        logs = np.concatenate([self.log_bands(source().noisy) for _ in range(STATISTICS_PAIRS)])
        return logs.mean(axis=0, dtype=np.float64), logs.std(axis=0, dtype=np.float64)

    def trained(self, folder: Path, progress: Progress, start: Path | None = None) -> FloatNet[Any]:
        """Train (or go on) in a run folder and write the checkpoint. start: a trained run to begin with."""
        origin = check_start(self.recipe, start) if start else ""
        if self.resume(folder, lambda kept: make_recipe(kept) == self.recipe):
            self._must_come_from(origin, folder)
        elif start is not None:
            self.start_from(start, origin)
            self.keep(folder)  # from now on the folder knows where it came from
        self.run(folder, progress)
        weights = self.net.weights(self.average.state_dict())
        source = {"dataset": self.data.id, **({"start": self.origin} if self.origin else {})}
        net = FloatNet(self.recipe, self.labels, self.tables, self.mean, self.deviation, weights, source)
        net.save(folder / CHECKPOINT)
        return net

    def state(self) -> dict[str, Any]:
        """The statistics, and where the weights came from."""
        statistics = {"mean": torch.from_numpy(self.mean), "deviation": torch.from_numpy(self.deviation)}
        return {**statistics, "origin": self.origin}

    def load(self, state: Mapping[str, Any]) -> None:
        """The opposite."""
        self.origin = state["origin"]
        self.mean, self.deviation = (state[key].cpu().numpy() for key in ("mean", "deviation"))

    def start_from(self, folder: Path, origin: str) -> None:
        """Take weights, and the statistics they were trained with, from a run that has been trained."""
        folder = located(folder)
        net = run_checkpoint(folder)
        self.mean, self.deviation, self.origin = net.mean, net.deviation, origin
        if (folder / PROGRESS).is_file():
            self.optimization.start_from(folder / PROGRESS, self.device)
        else:
            self.optimization.start_with(net.weights)

    def _must_come_from(self, origin: str, folder: Path) -> None:
        """A training that goes on keeps its start; another one asked for is an error."""
        if origin and origin != self.origin:
            began = f"began with {self.origin}" if self.origin else "began from scratch"
            raise EdgernnError(f"{folder} {began}, not with {origin}; leave --start out to go on, or choose another folder")
