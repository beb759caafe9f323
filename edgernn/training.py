"""What every training run shares: schedule, averaged weights, progress that survives a kill, metrics."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

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
