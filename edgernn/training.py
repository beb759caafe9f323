"""What every training run shares: schedule, averaged weights, progress that survives a kill, metrics."""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edgernn.artifacts import replacing, write_text
from edgernn.errors import EdgernnError


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


def keep_progress(state: Mapping[str, Any], path: Path) -> None:
    """Write everything needed to go on, in one piece."""
    with replacing(path) as scratch:
        torch.save(dict(state), scratch)


def load_progress(path: Path, recipe: Mapping[str, Any], device: torch.device) -> dict[str, Any] | None:
    """What `keep_progress` wrote, None if nothing; a different recipe is an error, not a mixture."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    if state["recipe"] != _as_loaded(recipe):
        raise EdgernnError(f"{path} belongs to another recipe; choose another folder or delete it to start again")
    return state


def _as_loaded(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as torch.save and a safe load give it back."""
    buffer = io.BytesIO()
    torch.save(dict(value), buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def write_metrics(history: Sequence[Mapping[str, float]], columns: Sequence[str], path: Path) -> None:
    """`metrics.csv`: one line an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
