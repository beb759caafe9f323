"""The decision stage: posteriors to events, integers only (SPEC.md, "Decision").

Streaming: the sum of the last N posteriors of a keyword reaches N * threshold -> an event, then R steps of silence.
Clip: argmax of the sum of the logits over the last M steps. Ties go to the lowest index. The float model is scored
by the same rule with its posteriors rounded to Q15.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError


@dataclass(frozen=True)
class Decision:
    """smoothing: N steps; refractory: R steps; clip_steps: M; thresholds: Q15, one per keyword (the first labels)."""

    smoothing: int
    refractory: int
    clip_steps: int
    thresholds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what the C stage has no room for."""
        for name, value, low, high in (
            ("smoothing", self.smoothing, 1, 255),
            ("refractory", self.refractory, 0, 65535),
            ("clip_steps", self.clip_steps, 1, 65535),
        ):
            if not low <= value <= high:
                raise EdgernnError(f"decision: {name} = {value} must lie in {low}..{high} steps")
        if not all(0 < t <= 32767 for t in self.thresholds):
            raise EdgernnError(f"decision: thresholds {self.thresholds} must lie in 1..32767 (Q15)")


@dataclass(frozen=True)
class Event:
    """A detection: step (counted from 0), label index, score = mean posterior in Q15 (floor)."""

    step: int
    label: int
    score: int


def clip_label(logits: NDArray[Any], clip_steps: int) -> NDArray[np.int64]:
    """Label of each clip: logits [..., steps, labels] -> argmax of the sum over the last `clip_steps` steps."""
    return np.asarray(np.argmax(logits[..., -clip_steps:, :].sum(axis=-2), axis=-1))


class Decider:
    """The streaming rule with its carried state: a ring of N posterior rows and the refractory countdown."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self.reset()

    def reset(self) -> None:
        """Forget all posteriors and start at step 0."""
        self._ring: list[list[int]] = []
        self._wait = 0
        self._step = 0

    def push(self, posteriors: NDArray[np.int16]) -> Event | None:
        """One step's posteriors [labels] Q15 in, perhaps an event out."""
        d = self._decision
        self._ring = [*self._ring[-(d.smoothing - 1) :], posteriors.tolist()] if d.smoothing > 1 else [posteriors.tolist()]
        step = self._step
        self._step += 1
        if self._wait:
            self._wait -= 1
            return None
        sums = [sum(row[i] for row in self._ring) for i in range(len(d.thresholds))]
        margins = [s - d.smoothing * t for s, t in zip(sums, d.thresholds, strict=True)]
        best = max(range(len(margins)), key=margins.__getitem__)
        if margins[best] < 0:
            return None
        self._wait = d.refractory
        return Event(step, best, sums[best] // d.smoothing)


def detect(posteriors: NDArray[np.int16], decision: Decision) -> list[Event]:
    """All events of a stream of posteriors [steps, labels] Q15 that starts from reset."""
    decider = Decider(decision)
    return [event for row in posteriors if (event := decider.push(row))]
