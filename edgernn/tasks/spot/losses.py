"""What a net that listens without end is asked: to say a word about when it ends, and nothing at other times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgernn.tasks.spot.recipe import StreamParams


@dataclass(frozen=True)
class Asked:
    """window bool [B, M, steps]: where the word of mark m may be said; label int64 [B, M], -1 where there is no such mark;
    negative bool [B, steps, labels]: where a label should be off.
    """

    window: Tensor
    label: Tensor
    negative: Tensor

    def to(self, device: torch.device) -> Asked:
        """The same on a device."""
        return Asked(self.window.to(device), self.label.to(device), self.negative.to(device))


def asked(marks: NDArray[np.int32], steps: int, labels: int, step_ms: float, p: StreamParams) -> Asked:
    """From marks [B, M, 3] (label, begin ms, end ms); a label without marks should be off throughout."""
    time = (np.arange(steps) + 1) * step_ms  # when a step has heard its sound
    label, begin, end = (marks[:, :, i, None] for i in range(3))
    there = label >= 0
    window = there & (time >= end + p.target_ms[0]) & (time <= end + p.target_ms[1])
    ignored = there & (time >= (begin + end) / 2) & (time <= end + p.ignored_ms)
    own = label[..., None] == np.arange(labels)  # [B, M, 1, labels]
    negative = ~(ignored[..., None] & own).any(1)
    return Asked(torch.from_numpy(window), torch.from_numpy(label[..., 0].astype(np.int64)), torch.from_numpy(negative))


def stream_loss(logits: Tensor, a: Asked, p: StreamParams) -> tuple[Tensor, Tensor]:
    """(of the words said, of the steps in which nothing should be said), both summed over a sequence, means over the batch.

    logits [B, steps, labels]. A word costs softplus(-mean of its `best_steps` highest logits); a step softplus(logit) times
    `negative`.
    """
    batch = len(logits)
    own = logits.gather(2, a.label.clamp_min(0)[:, None].expand(-1, logits.shape[1], -1)).transpose(1, 2)  # [B, M, steps]
    best = own.masked_fill(~a.window, -torch.inf).topk(min(p.best_steps, own.shape[2]), 2).values
    count = torch.isfinite(best).sum(2)
    mean = best.masked_fill(~torch.isfinite(best), 0.0).sum(2) / count.clamp_min(1)
    said = (F.softplus(-mean) * (count > 0)).sum() / batch
    quiet = p.negative * (F.softplus(logits) * a.negative).sum() / batch
    return said, quiet
