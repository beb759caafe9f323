"""What became of each item that was judged, kept with the figures so that two models can be compared on the same items.

An item is a clip, a mixture, a cut of noise, by a name that the same data give again. A task's `judge` puts outcomes under
"outcomes", by the names of its figures (`Task.gated`); `edgernn check` keeps them in the baseline and compares them in pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Texts = Mapping[str, str]


def unique(names: Iterable[str]) -> list[str]:
    """The names, those that came before with "#2", "#3", .. behind them."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(f"{name}#{seen[name]}" if seen[name] > 1 else name)
    return out


@dataclass(frozen=True)
class Marks:
    """Items that failed or did not.

    of: how many of each group were judged; failed: of each group those that failed, by name, with what came instead.
    """

    of: Mapping[str, int]
    failed: Mapping[str, Texts]

    def __post_init__(self) -> None:
        """More cannot fail than were judged."""
        _expect(bool(self.of) and all(type(n) is int and n >= 0 for n in self.of.values()), "counts")
        _expect(sum(self.of.values()) > 0 and set(self.failed) <= set(self.of), "groups")
        _expect(all(isinstance(f, Mapping) and len(f) <= self.of[g] for g, f in self.failed.items()), "failures")
        _expect(all(isinstance(text, str) for f in self.failed.values() for text in f.values()), "texts")

    def shares(self) -> dict[str, float]:
        """The share that failed, of all ("") and of each group that has items."""
        whole = sum(map(len, self.failed.values())) / sum(self.of.values())
        return {"": whole, **{g: len(self.failed.get(g, ())) / n for g, n in self.of.items() if n}}


@dataclass(frozen=True)
class Values:
    """A number an item, and its weight in the figure, which is the weighted mean: name -> (value, weight)."""

    items: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        """Weights are positive somewhere."""
        _expect(bool(self.items), "items")
        _expect(all(isinstance(x, (list, tuple)) and len(x) == 2 and all(map(_finite, x)) and x[1] >= 0
                    for x in self.items.values()), "values")  # fmt: skip
        _expect(sum(w for _, w in self.items.values()) > 0, "weights")

    def shares(self) -> dict[str, float]:
        """The figure."""
        total = sum(w for _, w in self.items.values())
        return {"": sum(v * w for v, w in self.items.values()) / total}


@dataclass(frozen=True)
class Events:
    """What should not have happened: when in the sound, in seconds, of each group; `hours` of sound were heard."""

    hours: float
    times: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        """Times are numbers."""
        _expect(_finite(self.hours) and self.hours > 0, "hours")
        _expect(all(isinstance(t, (list, tuple)) and all(map(_finite, t)) for t in self.times.values()), "times")

    def shares(self) -> dict[str, float]:
        """Events an hour."""
        whole = sum(map(len, self.times.values())) / self.hours
        return {"": whole, **{g: len(t) / self.hours for g, t in self.times.items()}}


@dataclass(frozen=True)
class Heights:
    """What would have fired at any threshold, by group, all in the threshold's unit; something fires where it reaches it.

    said: the highest score of each item that should fire; peaks: the scores in `hours` in which nothing should; thresholds:
    those of the model; least: the lowest threshold that is meant, below it no peaks are kept.
    """

    hours: float
    thresholds: Mapping[str, int]
    said: Mapping[str, Mapping[str, int]]
    peaks: Mapping[str, Sequence[int]]
    least: int

    def __post_init__(self) -> None:
        """One threshold a group, and numbers."""
        _expect(_finite(self.hours) and self.hours > 0 and type(self.least) is int, "hours")
        _expect(bool(self.thresholds) and set(self.said) == set(self.thresholds) == set(self.peaks), "groups")
        numbers = [*self.thresholds.values(), *(x for s in self.said.values() for x in s.values()),
                   *(x for p in self.peaks.values() for x in p)]  # fmt: skip
        _expect(all(type(x) is int for x in numbers) and any(self.said.values()), "scores")

    def rate(self, group: str) -> float:
        """Peaks an hour that reach the group's threshold."""
        return sum(x >= self.thresholds[group] for x in self.peaks[group]) / self.hours

    def threshold_at(self, group: str, rate: float) -> int:
        """The lowest threshold, of at least `least`, that no more than `rate` peaks an hour reach."""
        allowed = int(rate * self.hours + 1e-9)
        peaks = sorted(self.peaks[group], reverse=True)
        return max(self.least, peaks[allowed] + 1 if len(peaks) > allowed else 0)

    def missed_like(self, other: Heights) -> Marks:
        """What is missed at the lowest thresholds that keep the other's rate of peaks, group by group."""
        return self._missed_at({g: self.threshold_at(g, other.rate(g)) for g in self.thresholds})

    def _missed_at(self, thresholds: Mapping[str, int]) -> Marks:
        failed = {g: {name: f"{x} of {thresholds[g]}" for name, x in said.items() if x < thresholds[g]}
                  for g, said in self.said.items()}  # fmt: skip
        return Marks({g: len(said) for g, said in self.said.items()}, failed)

    def shares(self) -> dict[str, float]:
        """The share missed at its own rate of peaks."""
        return self.missed_like(self).shares()


Outcome = Marks | Values | Events | Heights
_KINDS: dict[str, type[Outcome]] = {"marks": Marks, "values": Values, "events": Events, "heights": Heights}


def outcome_dict(outcome: Outcome) -> dict[str, Any]:
    """Plain JSON types."""
    return {"kind": type(outcome).__name__.lower(), **asdict(outcome)}


def read_outcome(values: Any) -> Outcome:
    """What `outcome_dict` gave; ValueError where it is none."""
    if not isinstance(values, Mapping) or values.get("kind") not in _KINDS:
        raise ValueError("no kind of outcome")
    rest = {key: value for key, value in values.items() if key != "kind"}
    try:
        return _KINDS[values["kind"]](**rest)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(str(error)) from None


def _expect(ok: bool, what: str) -> None:
    if not ok:
        raise ValueError(f"{what} that cannot be")


def _finite(x: Any) -> bool:
    try:
        return type(x) in (int, float) and math.isfinite(x)
    except OverflowError:
        return False
