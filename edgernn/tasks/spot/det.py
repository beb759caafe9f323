"""Misses against false accepts, keyword by keyword, and the thresholds that follow; plain NumPy, no model.

A keyword's score at a step is the sum of its last N posteriors, as the decision stage takes it. What is heard where nothing was
said are peaks: the highest score, then the highest at least R steps from it, and so on. A keyword that was said has the highest
score of its time. A threshold t fires where the sum reaches N * t, so of both it takes what lies there or above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
LEAST, MOST = 3277, 32767  #: thresholds, Q15: one under a tenth would fire on anything
RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  #: false accepts an hour that curves are shown at
TAIL = 40  #: highest peaks from which it is told how seldom higher ones are
FAINT = 0.02  #: a mean posterior that no threshold reaches: peaks below it are not kept


def smoothed(posteriors: NDArray[np.int16], steps: int) -> Int64:
    """Sums of the last `steps` posteriors, int64 [T, K] of Q15 [T, K], from reset."""
    total = np.concatenate([np.zeros((steps, posteriors.shape[1]), np.int64), np.cumsum(posteriors, 0, np.int64)])
    return np.asarray(total[steps:] - total[:-steps])


def peaks(sums: Int64, apart: int, least: int = 0) -> tuple[Int64, Int64]:
    """(places, heights) of the peaks of sums [T] above `least`, at least `apart` steps from each other, highest first."""
    higher = np.flatnonzero(sums > least)
    order = higher[np.argsort(-sums[higher], kind="stable")]
    taken, found = np.zeros(len(sums), bool), []
    for at in order.tolist():
        if not taken[at]:
            found.append(at)
            taken[max(0, at - apart + 1) : at + apart] = True
    places = np.array(found, np.int64)
    return places, sums[places]


@dataclass(frozen=True)
class Evidence:
    """What one keyword's scores were, all as sums of `steps` posteriors.

    said: the highest of each time that it was said; false_: heights of the peaks where it was not, in `hours`.
    """

    steps: int
    said: Int64
    false_: Int64
    hours: float

    def misses(self, threshold: int) -> float:
        """Share of what was said that stays below a threshold (Q15); nothing said, nothing missed."""
        return float(np.mean(self.said < self.steps * threshold)) if len(self.said) else 0.0

    def false_accepts(self, threshold: int) -> int:
        """Peaks that reach a threshold (Q15)."""
        return int(np.sum(self.false_ >= self.steps * threshold))

    def threshold(self, rate: float) -> int:
        """The lowest threshold (Q15) with at most `rate` false accepts an hour."""
        allowed = int(rate * self.hours + 1e-9)
        highest = np.sort(self.false_)[::-1]
        wanted = int(highest[allowed]) // self.steps + 1 if len(highest) > allowed else 0
        return min(MOST, max(LEAST, wanted))

    def expected(self, rate: float) -> int:
        """The lowest threshold (Q15) that keeps `rate` here and is expected to keep it in hours of other people.

        Half a false accept an hour in two hours is one peak: where it lies says much of one recording and little of the next.
        The log odds of the highest peaks fall off about exponentially, so that beyond the TAIL highest, all above u and by m
        in the mean, rate * hours are expected above u + m ln(TAIL / (rate * hours)) (peaks over a threshold, Coles 2001).
        """
        here, allowed = self.threshold(rate), rate * self.hours
        if not 0 < allowed < TAIL < len(self.false_):
            return here
        share = np.sort(self.false_)[: -TAIL - 2 : -1] / (self.steps * 32768)
        odds = np.log(share / (1 - share))
        beyond = odds[-1] + np.mean(odds[:-1] - odds[-1]) * np.log(TAIL / allowed)
        return min(MOST, max(here, math.ceil(32768 / (1 + math.exp(-beyond)))))

    def curve(self, rates: Sequence[float] = RATES) -> list[float]:
        """Misses at each of the rates that the hours can tell: below one false accept in all of them, those of one."""
        return [self.misses(self.threshold(max(rate, 1 / self.hours if self.hours else rate))) for rate in rates]


@dataclass(frozen=True)
class Choice:
    """Smoothing in steps, and a threshold (Q15) for each keyword; misses: the mean share on what it was chosen by."""

    smoothing: int
    thresholds: tuple[int, ...]
    misses: float


def choose(evidence: Mapping[int, Sequence[Evidence]], rate: float) -> Choice:
    """The smoothing (steps -> evidence of each keyword) with the fewest misses at an expected rate; of equals the shortest."""
    found = []
    for steps in sorted(evidence):
        thresholds = tuple(e.expected(rate) for e in evidence[steps])
        missed = [e.misses(t) for e, t in zip(evidence[steps], thresholds, strict=True)]
        found.append(Choice(steps, thresholds, float(np.mean(missed))))
    return min(found, key=lambda c: c.misses)
