"""Accuracy of clips and of streams, by one rule for the float model and every integer runtime.

A "scorer" turns features into logits or posteriors; what is measured here knows nothing else about the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.tasks.spot.decision import Decision, Event, clip_label, detect
from edgernn.tasks.spot.det import smoothed

Int16 = NDArray[np.int16]
Span = tuple[int, int, str]  #: first sample, one past the last, label


def to_posteriors(logits: NDArray[np.floating[Any]]) -> Int16:
    """Float logits -> Q15 posteriors, as the decision stage takes them."""
    p = np.rint(32768 * (0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))))
    return np.asarray(np.clip(p, 0, 32767), dtype=np.int16)


@dataclass(frozen=True)
class ClipScore:
    """Clip accuracy: truth and predicted int64 [N], indices into labels."""

    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which clips were right."""
        return np.asarray(self.truth == self.predicted)

    @property
    def accuracy(self) -> float:
        """Share of right clips."""
        return float(self.correct.mean())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [truth, predicted]."""
        n = len(self.labels)
        return np.bincount(self.truth * n + self.predicted, minlength=n * n).reshape(n, n)

    def per_class(self) -> dict[str, float]:
        """Recall of each label that occurs."""
        return {
            label: round(float(self.correct[self.truth == i].mean()), 4)
            for i, label in enumerate(self.labels)
            if np.any(self.truth == i)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "clips": len(self.truth), "correct": int(self.correct.sum()), "accuracy": round(self.accuracy, 5),
            "per_class": self.per_class(), "confusion": self.confusion.tolist(),
        }  # fmt: skip


def score_clips(logits: NDArray[Any], truth: NDArray[np.int64], labels: tuple[str, ...], clip_steps: int) -> ClipScore:
    """Logits [N, steps, labels] (float or int16, each clip from reset) -> clip score."""
    wide = logits.astype(np.float64 if np.issubdtype(logits.dtype, np.floating) else np.int64)
    return ClipScore(labels, truth, clip_label(wide, clip_steps))


def score_heard(posteriors: Int16, truth: NDArray[np.int64], labels: tuple[str, ...], decision: Decision) -> ClipScore:
    """As `score_clips`, by what the decision stage would say: posteriors Q15 [N, steps, labels], each clip from reset.

    The keyword whose mean posterior rises highest over its threshold; where none reaches it, the label after the keywords.
    """
    keywords = len(decision.thresholds)
    sums = np.stack([smoothed(p[:, :keywords], decision.smoothing) for p in posteriors])
    margins = (sums - decision.smoothing * np.array(decision.thresholds)).max(1)
    predicted = np.where(margins.max(1) >= 0, margins.argmax(1), keywords)
    return ClipScore(labels, truth, np.asarray(predicted, np.int64))


@dataclass(frozen=True)
class StreamScore:
    """Events against truth: keywords said, hits, events that matched nothing, hours heard."""

    keywords: int
    hits: int
    false_accepts: int
    hours: float

    @property
    def frr(self) -> float:
        """False reject rate: share of keywords missed."""
        return 1.0 - self.hits / self.keywords if self.keywords else 0.0

    @property
    def fa_per_hour(self) -> float:
        """False accepts per hour."""
        return self.false_accepts / self.hours if self.hours else 0.0

    def poisson_interval(self) -> tuple[float, float]:
        """Exact 95 % interval of the false accepts per hour; of no hours, nothing is known."""
        if self.hours <= 0:
            return 0.0, math.inf
        low, high = poisson_interval(self.false_accepts)
        return low / self.hours, high / self.hours

    def __add__(self, other: StreamScore) -> StreamScore:
        """Both streams together."""
        return StreamScore(
            self.keywords + other.keywords, self.hits + other.hits,
            self.false_accepts + other.false_accepts, self.hours + other.hours,
        )  # fmt: skip


def match_events(
    events: Sequence[Event], spans: Sequence[Span], labels: Sequence[str], step_samples: int, rate: int, late_s: float = 1.0
) -> tuple[int, int]:
    """(hits, false accepts): an event hits a span of its label that began before it and ended at most late_s ago."""
    late, open_spans, hits = round(late_s * rate), list(spans), 0
    for event in events:
        at = (event.step + 1) * step_samples
        found = next(
            (s for s in open_spans if s[2] == labels[event.label] and s[0] <= at <= s[1] + late), None
        )  # fmt: skip
        if found is not None:
            open_spans.remove(found)
            hits += 1
    return hits, len(events) - hits


def score_stream(
    posteriors: Int16, spans: Sequence[Span], labels: Sequence[str], decision: Decision, step_samples: int, rate: int
) -> StreamScore:
    """Detect over a whole stream from reset and match with the truth."""
    keywords = labels[: len(decision.thresholds)]
    wanted = [s for s in spans if s[2] in keywords]
    hits, false = match_events(detect(posteriors, decision), wanted, labels, step_samples, rate)
    return StreamScore(len(wanted), hits, false, len(posteriors) * step_samples / rate / 3600)


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood 1936) interval of a Poisson mean from one count."""
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * (count + 1))) / 2


def share_interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper & Pearson 1934) interval of a share from `count` of `of`; of none nothing is known."""
    from scipy.stats import binomtest

    if not of:
        return 0.0, 1.0
    found = binomtest(count, of).proportion_ci(confidence)
    return float(found.low), float(found.high)


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of paired differences, one a seed."""
    from scipy.stats import t as student

    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        return float(d.mean()), math.nan, math.nan
    half = float(student.ppf(0.975, len(d) - 1)) * float(d.std(ddof=1)) / math.sqrt(len(d))
    return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half
