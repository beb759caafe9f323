"""What every training run shares: schedule, averaged weights, progress that survives a kill, metrics."""

from __future__ import annotations

import copy
import csv
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgernn.artifacts import write_bytes, write_text
from edgernn.core.affine import FEATURE_LIMIT, LEAST_DEVIATION
from edgernn.core.net import Net
from edgernn.errors import EdgernnError

PROGRESS = "progress.pt"  #: in the run folder: a training that can go on
Progress = Callable[[str, int, int], None]


def warm_cosine(step: int, total: int, warmup: float) -> float:
    """Factor of the learning rate: a linear rise over the share `warmup` of the run, then half a cosine down to 1 %."""
    total = max(1, total)
    warm = max(1, round(warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only, not for biases and norms."""
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def follow(average: nn.Module, net: nn.Module, decay: float, done: int) -> None:
    """Move the average towards the new weights after `done` steps; at the start it follows faster than it will later."""
    decay = min(decay, (1 + done) / (10 + done)) if decay else 0.0
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


class TrainSettings(Protocol):
    """What every recipe's training section says."""

    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def weight_decay(self) -> float: ...  # noqa: D102
    @property
    def warmup(self) -> float: ...  # noqa: D102
    @property
    def clip_norm(self) -> float: ...  # noqa: D102
    @property
    def average(self) -> float: ...  # noqa: D102


class Optimization:
    """A net under training, the moving average of its weights, AdamW and its schedule over `steps` updates."""

    def __init__(self, net: nn.Module, settings: TrainSettings, steps: int) -> None:
        self.net, self.average, self._settings = net, copy.deepcopy(net), settings
        self._optimizer = torch.optim.AdamW(parameter_groups(net, settings.weight_decay), lr=settings.learning_rate)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: warm_cosine(step, steps, settings.warmup)
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next update."""
        return float(self._schedule.get_last_lr()[0])

    def update(self, loss: Tensor, epoch: int) -> tuple[float, float]:
        """One step down the gradient; the loss and the gradient's norm before it was clipped. Neither may be infinite."""
        p = self._settings
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = float(nn.utils.clip_grad_norm_(self.net.parameters(), p.clip_norm))
        value = float(loss.detach())
        check_finite(value, norm, epoch, p.learning_rate, p.clip_norm)
        self._optimizer.step()
        self._schedule.step()
        follow(self.average, self.net, p.average, self._schedule.last_epoch)
        return value, norm

    def start_from(self, progress: Path, device: torch.device) -> None:
        """Begin with the averaged weights that another training left in `progress`, with a schedule of its own."""
        state = torch.load(progress, map_location=device, weights_only=True)
        for net in (self.net, self.average):
            net.load_state_dict(state["average"])

    def start_with(self, weights: Mapping[str, Any]) -> None:
        """Begin with the weights of a checkpoint, with a schedule of its own; see `Net.take`."""
        for net in (self.net, self.average):
            assert isinstance(net, Net)
            net.take(weights)

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on."""
        parts: dict[str, Any] = {
            "net": self.net,
            "average": self.average,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
        }
        return {name: part.state_dict() for name, part in parts.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])


def check_finite(loss: float, norm: float, epoch: int, learning_rate: float, clip_norm: float) -> None:
    """A loss or gradient that is no number ends the run with a sentence."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise EdgernnError(
            f"training diverged in epoch {epoch} (loss {loss:g}, gradient norm {norm:g}); lower "
            f"train.learning_rate = {learning_rate:g} or train.clip_norm = {clip_norm:g}"
        )


class Trainer(ABC):
    """One training run: epochs of batches, each followed by validation and by writing everything needed to go on.

    A subclass gives the batches of an epoch, the loss of one and the validation. All randomness of an epoch must come from
    the generator that `batches` is given, so that a run which was killed ends as one that was not.

    depends: what the training follows beside its recipe, by name: the dataset's id, teachers. It is kept with the progress,
    and a training that would go on with something else is refused.
    """

    #: of metrics.csv: epoch, loss, what `step` tells beside it, what `validate` tells, the gradient's norm, the rate
    parts: ClassVar[tuple[str, ...]] = ()
    judged: ClassVar[tuple[str, ...]] = ("validation",)

    def __init__(
        self,
        recipe: Mapping[str, Any],
        net: Net,
        settings: TrainSettings,
        batches: int,
        device: torch.device,
        depends: Mapping[str, str],
    ) -> None:
        self.device, self.net = device, net.to(device)
        self.epochs, self.batches_per_epoch = settings.epochs, batches
        self.optimization = Optimization(self.net, settings, settings.epochs * batches)
        self.history: list[dict[str, float]] = []
        self._recipe, self._settings, self._epoch, self._depends = dict(recipe), settings, 0, dict(depends)

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """The batches of one epoch."""

    @abstractmethod
    def loss(self, net: Net, batch: Any) -> tuple[Tensor, tuple[float, ...]]:
        """What is lowered, and the numbers named by `parts`."""

    @abstractmethod
    def validate(self) -> tuple[float, ...]:
        """The numbers named by `judged`, of the averaged weights."""

    @property
    def average(self) -> Net:
        """The moving average of the weights: what is validated and kept."""
        found: Net = self.optimization.average  # type: ignore[assignment]
        return found

    @property
    def finished(self) -> bool:
        """All epochs done."""
        return self._epoch >= self.epochs

    @property
    def columns(self) -> tuple[str, ...]:
        """Of `metrics.csv`."""
        norms = ("gradient_norm", "gradient_norm_max", "clipped", "learning_rate")
        return ("epoch", "loss", *self.parts, *self.judged, *norms)

    def run(self, folder: Path, progress: Progress) -> None:
        """Epochs until finished, from where `resume` found it; `progress.pt` and `metrics.csv` in `folder` after each."""
        while not self.finished:
            self.epoch(progress)
            self.keep(folder)

    def epoch(self, progress: Progress) -> None:
        """One epoch, then validation of the averaged weights."""
        rng = np.random.default_rng([self._recipe["seed"], 7, self._epoch])
        torch.manual_seed(int(rng.integers(2**31)))
        self.net.train()
        rows, done = [], self._epoch * self.batches_per_epoch
        for i, batch in enumerate(self.batches(rng), 1):
            loss, parts = self.loss(self.net, batch)
            value, norm = self.optimization.update(loss, self._epoch + 1)
            rows.append((value, *parts, norm))
            progress("training", done + i, self.epochs * self.batches_per_epoch)
        self._epoch += 1
        self.average.eval()
        with torch.no_grad():
            judged = self.validate()
        norms = np.array(rows)[:, -1]
        values = (self._epoch, *np.mean(rows, axis=0)[:-1], *judged, norms.mean(), norms.max(),
                  np.mean(norms > self._settings.clip_norm), self.optimization.rate)  # fmt: skip
        self.history.append(dict(zip(self.columns, map(float, values), strict=True)))

    def state(self) -> dict[str, Any]:
        """What a subclass keeps beside the optimization's state, as tensors and plain values."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """The opposite of `state`."""
        return

    def keep(self, folder: Path) -> None:
        """Write everything needed to go on, in one piece, and the metrics so far."""
        own = {"recipe": self._recipe, "depends": self._depends, "epoch": self._epoch, "history": self.history}
        keep_progress({**own, **self.state(), **self.optimization.state()}, folder / PROGRESS)
        write_metrics(self.history, self.columns, folder / "metrics.csv")

    def resume(self, folder: Path, same: Callable[[Any], bool]) -> bool:
        """Go on where `keep` left off; False if it never did. `same`: whether a kept recipe is this training's."""
        state = load_progress(folder / PROGRESS, same, self.device, self._depends)
        if state is None:
            return False
        try:
            self.optimization.load(state)
            self._epoch, self.history = state["epoch"], state["history"]
            self.load(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise damaged_progress(folder / PROGRESS, error) from None
        return True


def damaged_progress(path: Path, error: Exception) -> EdgernnError:
    """The error of a file that was no training's."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return EdgernnError(f"{path} is damaged ({said}); delete it to train from the beginning")


def keep_progress(state: Mapping[str, Any], path: Path) -> None:
    """Write everything needed to go on, in one piece."""
    data = io.BytesIO()  # torch's own writer tells of a full disk in words of its own
    torch.save(dict(state), data)
    write_bytes(path, data.getbuffer())


def load_progress(
    path: Path, same: Callable[[Any], bool], device: torch.device, depends: Mapping[str, str]
) -> dict[str, Any] | None:
    """What `keep_progress` wrote, None if nothing.

    That of a recipe which is not the `same`, or of another training by what it `depends` on, is an error, not a mixture.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        recipe = state["recipe"]
    except Exception as error:  # torch follows whatever the bytes say: whatever it raises means damage
        raise damaged_progress(path, error) from None
    if not same(recipe):
        raise EdgernnError(f"{path} belongs to another recipe; choose another folder or delete it to start again")
    check_depends(state, depends, path)
    return state


def check_depends(state: Mapping[str, Any], depends: Mapping[str, str], path: Path) -> None:
    """A training that began with other data or teachers is not gone on with: its weights would be passed off as of these."""
    kept = state.get("depends")
    if not isinstance(kept, Mapping):
        raise EdgernnError(f"{path} does not say what it was trained on (an older edgernn wrote it); delete it to train again")
    for name, value in depends.items():
        if kept.get(name, "") != value:
            was, now = (str(x)[:40] or "none" for x in (kept.get(name, ""), value))
            raise EdgernnError(
                f"{path} was trained with another {name} ({was}, now {now}); bring it back to go on, or delete the file, "
                "or choose another folder, to train from the beginning"
            )


def training_device(name: str, threads: int) -> torch.device:
    """`cpu`, `cuda`, or with `auto` the better of what is there; torch then computes on so many threads."""
    torch.set_num_threads(threads)
    return find_device(name)


def find_device(name: str) -> torch.device:
    """The device of that name, tried out; `auto`: the better of what is there."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.ones(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EdgernnError(f"device {name!r} cannot be used here ({said}); use cpu or auto") from None
    return device


def normalised(log_energy: NDArray[np.int16], mean: NDArray[Any], deviation: NDArray[Any]) -> Tensor:
    """As FloatNet.features, in float32 throughout: training does not need the last bit."""
    x = (log_energy.astype(np.float32) - mean.astype(np.float32)) / np.maximum(deviation, LEAST_DEVIATION).astype(np.float32)
    return torch.from_numpy(np.clip(x, -FEATURE_LIMIT, FEATURE_LIMIT))


def in_deviations(log_energy: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The same of tensors on any device: log-energies [.., bands], mean and deviation float32 [bands]."""
    return ((log_energy - mean) / deviation.clamp(min=LEAST_DEVIATION)).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)


def write_metrics(history: Sequence[Mapping[str, float]], columns: Sequence[str], path: Path) -> None:
    """`metrics.csv`: one line an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
