"""The decision stage: posteriors to events, integers only (SPEC.md, "Decision").

Streaming: the sum of the last N posteriors of a keyword reaches N * threshold -> it fires, then R steps in which nothing else
does. It fires again only after its sum has fallen below three quarters of that: a held posterior is one event. The event lasts
until then, or R steps; its score, the highest mean posterior while it lasted, is known when it is over.
Clip: argmax of the sum of the logits over the last M steps. Ties go to the lowest index. The float model is scored
by the same rule with its posteriors rounded to Q15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.tasks.spot.recipe import SpotRecipe


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
    """A detection: step at which it fired (counted from 0), label index, score = highest mean posterior in Q15 (floor).

    over: no higher score can follow. An event that has just fired and may still grow is told with the score it has.
    """

    step: int
    label: int
    score: int
    over: bool = True


def clip_label(logits: NDArray[Any], clip_steps: int) -> NDArray[np.int64]:
    """Label of each clip: logits [..., steps, labels] -> argmax of the sum over the last `clip_steps` steps."""
    return np.asarray(np.argmax(logits[..., -clip_steps:, :].sum(axis=-2), axis=-1))


class Decider:
    """The streaming rule with its carried state: a ring of N rows, the refractory countdown, who is held, which event lasts."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self.reset()

    def reset(self) -> None:
        """Forget all posteriors and start at step 0."""
        self._ring: list[list[int]] = []
        self._wait = 0
        self.step = 0  #: of the next row
        self._held: set[int] = set()
        self._open: tuple[int, int, int] | None = None  #: step, label and highest sum of the event that lasts

    def push(self, posteriors: NDArray[np.int16]) -> Event | None:
        """One step's posteriors [labels] Q15 in; an event out when one fires and, with R > 0, again when it is over."""
        d = self._decision
        self._ring = [*self._ring[-(d.smoothing - 1) :], posteriors.tolist()] if d.smoothing > 1 else [posteriors.tolist()]
        step = self.step
        self.step += 1
        sums = [sum(row[i] for row in self._ring) for i in range(len(d.thresholds))]
        goals = [d.smoothing * t for t in d.thresholds]
        self._held = {i for i in self._held if 4 * sums[i] >= 3 * goals[i]}
        if self._wait:
            self._wait -= 1
            return self._lasting(sums)
        ready = [i for i in range(len(goals)) if i not in self._held and sums[i] >= goals[i]]
        if not ready:
            return None
        best = max(ready, key=lambda i: sums[i] - goals[i])
        self._wait = d.refractory
        self._held.add(best)
        self._open = (step, best, sums[best]) if d.refractory else None
        return Event(step, best, sums[best] // d.smoothing, over=not d.refractory)

    def _lasting(self, sums: list[int]) -> Event | None:
        """The event that lasts, when this step ends it."""
        if self._open is None:
            return None
        step, label, highest = self._open
        highest = max(highest, sums[label])
        if label in self._held and self._wait:
            self._open = step, label, highest
            return None
        self._open = None
        return Event(step, label, highest // self._decision.smoothing)


def detect(posteriors: NDArray[np.int16], decision: Decision) -> list[Event]:
    """All events of a stream of posteriors [steps, labels] Q15 from reset: `Decider`, looking only where one may be.

    Hours of sound have few steps with a sum above its threshold; between them only the last release of a keyword counts. An
    event that lasts when the stream ends, ends there.
    """
    d, keywords = decision, len(decision.thresholds)
    total = np.concatenate([np.zeros((d.smoothing, keywords), np.int64), np.cumsum(posteriors[:, :keywords], 0, np.int64)])
    sums, goals = total[d.smoothing :] - total[: -d.smoothing], d.smoothing * np.array(d.thresholds, np.int64)
    steps = np.arange(len(sums))[:, None]
    released = np.maximum.accumulate(np.where(4 * sums < 3 * goals, steps, -1), 0) if len(sums) else steps
    fired, free, events = np.full(keywords, -1), 0, []
    for step in np.flatnonzero((sums >= goals).any(1)).tolist():
        margins = np.where((sums[step] >= goals) & ((fired < 0) | (released[step] > fired)), sums[step] - goals, -1)
        best = int(margins.argmax())
        if step >= free and margins[best] >= 0:
            events.append(
                Event(step, best, _highest(sums[step : step + 1 + d.refractory, best], int(goals[best])) // d.smoothing)
            )
            fired[best], free = step, step + 1 + d.refractory
    return events


def _highest(sums: NDArray[np.int64], goal: int) -> int:
    """Of an event's sums, those up to its release."""
    low = np.flatnonzero(4 * sums < 3 * goal)
    return int(sums[: low[0] if len(low) else None].max())


def make_decision(recipe: SpotRecipe, labels: Sequence[str]) -> Decision:
    """The recipe's decision stage in steps and Q15; keywords are the labels before "unknown"."""
    d = recipe.decision
    keywords = [x for x in labels if x not in ("unknown", "silence")]
    return Decision(
        smoothing=recipe.steps(d.smoothing_ms),
        refractory=recipe.steps(d.refractory_ms),
        clip_steps=recipe.steps(d.clip_ms),
        thresholds=(min(32767, max(1, round(d.threshold * 32768))),) * len(keywords),
    )
