"""Two models on the same items: what changed, and how likely so much of it is where nothing got worse.

Items that failed or did not: the exact one-sided test of McNemar (1947) over those that changed (Edwards' correction is for
large numbers only). Numbers: a paired bootstrap of the difference of means. Events: McNemar's test over those that only one of
the two has. All from SciPy. One-sided, since nobody asks whether a model got better by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgernn.outcomes import Events, Heights, Marks, Outcome, Values

RESAMPLES = 9999
SAME_S = 1.0  #: two events of one group are the same one when they lie so near, in seconds
SAME_WEIGHT = 0.05  #: of its value; sound that is made anew may differ in where it is told to begin
NUMBERS_SHOWN = 1e-3  #: a number counts as changed from here on, in its own unit


class OtherItemsError(ValueError):
    """The two were not judged on the same items."""


@dataclass(frozen=True)
class Pair:
    """One figure of both. chance: that of a loss as large where there is none; says: what was compared, in words.

    lost: items that got worse, with what came instead; won: items that got better.
    """

    before: float
    now: float
    chance: float
    says: str
    lost: Mapping[str, str] = field(default_factory=dict)
    won: Sequence[str] = ()


def compare(before: Outcome, now: Outcome, better: int) -> dict[str, Pair]:
    """Pairs of all items ("") and of each group; OtherItemsError where they are not the same.

    better: +1 where the figure is the share that did not fail, or a number of which more is better; else -1.
    Chances of groups are raised as Benjamini and Hochberg do, since one of many is easily unlucky.
    """
    if type(before) is not type(now):
        raise OtherItemsError(f"{_kind(before)} in the one, {_kind(now)} in the other")
    found = _JUDGES[type(now)](before, now, better)
    groups = [g for g in found if g]
    if len(groups) < 2:
        return {"": found[""]}
    if all(found[g].chance == 1 for g in groups):
        return found  # nothing changed, and SciPy takes a second to load
    from scipy.stats import false_discovery_control

    raised = false_discovery_control([found[g].chance for g in groups])
    return {"": found[""], **{g: replace(found[g], chance=float(p)) for g, p in zip(groups, raised, strict=True)}}


def _kind(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()


def mcnemar(lost: int, won: int) -> float:
    """The chance that so many or more of those that changed were lost, if losing were as likely as winning."""
    if not lost:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + won, 0.5, alternative="greater").pvalue)


def _marks(before: Marks, now: Marks, better: int) -> dict[str, Pair]:
    if dict(before.of) != dict(now.of):
        raise OtherItemsError(f"{sum(before.of.values())} items in the one, {sum(now.of.values())} in the other")
    by_group = {g: (before.failed.get(g, {}), now.failed.get(g, {}), n) for g, n in now.of.items() if n}
    whole = ({k: v for f, _, _ in by_group.values() for k, v in f.items()},
             {k: v for _, f, _ in by_group.values() for k, v in f.items()}, sum(now.of.values()))  # fmt: skip
    return {g: _mark_pair(*parts, better) for g, parts in {"": whole, **by_group}.items()}


def _mark_pair(before: Mapping[str, str], now: Mapping[str, str], of: int, better: int) -> Pair:
    lost, won = {name: text for name, text in now.items() if name not in before}, [x for x in before if x not in now]
    shares = [len(failed) / of for failed in (before, now)]
    old, new = (1 - s if better > 0 else s for s in shares)
    return Pair(old, new, mcnemar(len(lost), len(won)), f"{len(lost)} lost, {len(won)} won of {of}", lost, won)


def _heights(before: Heights, now: Heights, better: int) -> dict[str, Pair]:
    """Misses, of both at the thresholds that keep the old one's rates."""
    if {g: set(s) for g, s in before.said.items()} != {g: set(s) for g, s in now.said.items()}:
        raise OtherItemsError("other items should fire")
    pairs = _marks(before.missed_like(before), now.missed_like(before), better)
    rates = {g: f", at {before.rate(g):.3g} false accepts an hour" for g in now.thresholds}
    return {g: replace(pair, says=pair.says + rates.get(g, "")) for g, pair in pairs.items()}


def _events(before: Events, now: Events, better: int) -> dict[str, Pair]:
    if set(before.times) != set(now.times) or abs(before.hours - now.hours) > 1e-6:
        raise OtherItemsError(f"{before.hours:g} hours in the one, {now.hours:g} in the other, or other groups")
    found = {g: _unlike(before.times[g], now.times[g]) for g in now.times}
    counts = {g: (len(before.times[g]), len(now.times[g])) for g in now.times}
    said = {g: ({_at(g, t): "new" for t in new}, [_at(g, t) for t in gone]) for g, (new, gone) in found.items()}
    whole = ({k: v for new, _ in said.values() for k, v in new.items()}, [x for _, gone in said.values() for x in gone])
    total = tuple(sum(n[i] for n in counts.values()) for i in (0, 1))
    out = {}
    for g, (new, gone) in {"": whole, **said}.items():
        old, many = counts.get(g, total)
        says = f"{old} events before, {many} now: {len(new)} new, {len(gone)} gone in {now.hours:.3g} hours"
        out[g] = Pair(old / before.hours, many / now.hours, mcnemar(len(new), len(gone)), says, new, gone)
    return out


def _at(group: str, seconds: float) -> str:
    return f"{group} at {seconds:g} s"


def _unlike(before: Sequence[float], now: Sequence[float]) -> tuple[list[float], list[float]]:
    """Those of `now` and those of `before` that the other lacks; each has one partner at most, the next free one."""
    new, gone, i = [], [], 0
    old = sorted(before)
    for t in sorted(now):
        while i < len(old) and old[i] < t - SAME_S:
            gone.append(old[i])
            i += 1
        if i < len(old) and old[i] <= t + SAME_S:
            i += 1
        else:
            new.append(t)
    return new, gone + old[i:]


def _values(before: Values, now: Values, better: int) -> dict[str, Pair]:
    names = list(now.items)
    if set(names) != set(before.items):
        raise OtherItemsError(f"{len(before.items)} items in the one, {len(names)} in the other, or others")
    old, new = (np.array([outcome.items[name][0] for name in names], float) for outcome in (before, now))
    weights = np.array([now.items[name][1] for name in names], float)
    if not np.allclose(weights, [before.items[name][1] for name in names], rtol=SAME_WEIGHT):
        raise OtherItemsError("items of other weights")
    gain = better * (new - old)
    worse = np.argsort(gain)
    lost = {names[i]: f"{old[i]:.4g} to {new[i]:.4g}" for i in worse if gain[i] <= -NUMBERS_SHOWN}
    won = [names[i] for i in worse[::-1] if gain[i] >= NUMBERS_SHOWN]
    says = f"mean over {len(names)} items: {len(lost)} got worse, {len(won)} better"
    return {"": Pair(before.shares()[""], now.shares()[""], bootstrap(gain, weights), says, lost, won)}


def bootstrap(gain: Any, weights: Any) -> float:
    """The share of resamples of items, gains and weights [n], in which nothing is lost: the chance of a loss where none is."""
    if np.ptp(gain) == 0 or len(gain) < 2:
        return 0.0 if len(gain) > 1 and gain[0] < 0 else 1.0
    from scipy.stats import bootstrap as resampled

    def mean(g: Any, w: Any, axis: int = -1) -> Any:
        return np.sum(g * w, axis=axis) / np.maximum(np.sum(w, axis=axis), 1e-12)

    found = resampled(
        (gain, weights), mean, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", batch=1000,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(np.mean(found.bootstrap_distribution >= 0))


_JUDGES: dict[type[Any], Callable[[Any, Any, int], dict[str, Pair]]] = {
    Marks: _marks, Heights: _heights, Events: _events, Values: _values
}  # fmt: skip
