"""A run against its baseline, figure by figure.

A figure is worse when it lost more than its tolerance and, where it was judged item by item in both, when the items that
changed show it too: the chance of so large a loss where nothing was lost is below the baseline's level. With level 1 the
tolerance alone decides. Tolerances and level are those of the run's recipe, where it says some, and else the baseline's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError
from edgernn.gate.baseline import ANY, Baseline, read_baseline, recipe_says
from edgernn.gate.paired import OtherItemsError, Pair, compare
from edgernn.gate.reading import DISAGREE, Found, collect, context_of, kind_of, known_figures
from edgernn.recipe import GateParams
from edgernn.tasks.base import Figure

OK, WORSE, UNCLEAR, MISSING = "ok", "worse", "unclear", "missing"
_SLACK = 1e-9  #: figures are kept to six digits


def check(run: Path, path: Path) -> dict[str, Any]:
    """Compare a run folder with the baseline at `path`; EdgernnError (exit 2) when the two cannot be compared.

    rows: one a figure, with `verdict` ok, worse, unclear (a loss that may be none: ok) or missing; `ok` is whether it may pass.
    Rows of differing bits need no baseline: any is too many. unjudged: figures of the run that the baseline lacks. notes: what
    could be told better.
    """
    own = recipe_says(run)
    base, now = read_baseline(path).with_recipe(own), collect(run)
    _check_model(base, now, run)
    _check_context(base, now)
    pairs = dict(_pairs(base, now))
    known = known_figures(now.model["task"])
    rows = [_row(name, base, now.metrics.get(name), pairs.get(name), known) for name in sorted(base.metrics)]
    rows += [
        {"metric": name, "baseline": 0, "value": count, "tolerance": "0", "verdict": WORSE if count else OK, "ok": count == 0}
        for name, count in sorted(now.differing.items())
    ]
    unjudged = sorted(set(now.metrics) - set(base.metrics))
    return {
        "run": str(run), "graph": next(iter(now.graphs.values())), "baseline": str(path), "written": base.written,
        "level": base.level, "rows": rows, "unjudged": unjudged, "notes": [*_of_recipe(own), *_notes(base, now, run)],
    }  # fmt: skip


def exit_code(result: dict[str, Any]) -> int:
    """0: no worse; 1: worse; 2: a figure is missing, so nobody can tell."""
    verdicts = {row["verdict"] for row in result["rows"]}
    return 1 if WORSE in verdicts else 2 if MISSING in verdicts else 0


def _check_model(base: Baseline, now: Found, run: Path) -> None:
    """Figures of another model say nothing of this one."""
    for key, before in base.model.items():
        found = now.model.get(key)
        if found is None:
            raise EdgernnError(f"cannot tell: the figures of {run} do not say their {key}; run `edgernn simulate {run}` again")
        if found != before:
            raise EdgernnError(
                f"cannot tell: {base.path} is the baseline of another model, its {key} is {before!r}, that of {run} is "
                f"{found!r}; give its own with --baseline, or write it with --update"
            )


def _check_context(base: Baseline, now: Found) -> None:
    """Like must be compared with like: every figure's test set or compiler is known and the same."""
    needed = [key for name in base.metrics if name in now.metrics and (key := context_of(name))]
    gone = {name.rpartition(".")[0] for name in base.metrics} - {name.rpartition(".")[0] for name in now.metrics}
    known = [key for key in base.context if key.rpartition(".")[0] not in gone]
    for key in dict.fromkeys([*known, *needed]):
        before, found = base.context.get(key), now.context.get(key)
        if before != found and (before != ANY or found is None):
            raise EdgernnError(
                f"cannot tell: {key} was {before!r} in the baseline and is {found!r} now; "
                "compare like with like, or write a new baseline with --update"
            )


def _pairs(base: Baseline, now: Found) -> Iterator[tuple[str, Pair]]:
    """What was judged item by item in both, by the metric's name."""
    known = known_figures(now.model["task"])
    for scheme, before in base.outcomes.items():
        for name, outcome in before.items():
            found, metric = now.outcomes.get(scheme, {}).get(name), f"{scheme}.{name}"
            if found is None or name not in known or metric not in base.metrics:
                continue
            try:
                pairs = compare(outcome, found, known[name].better)
            except OtherItemsError as error:
                raise EdgernnError(
                    f"cannot tell: {metric} was not judged on the same items ({error}); compare like with like, or write a new "
                    "baseline with --update"
                ) from None
            for group, pair in pairs.items():
                yield f"{metric}[{group}]" if group else metric, pair


def _row(name: str, base: Baseline, value: float | None, pair: Pair | None, known: Mapping[str, Figure]) -> dict[str, Any]:
    """One metric and its verdict."""
    before, kind = base.metrics[name], kind_of(name)
    figure, tolerance = known.get(kind), base.tolerances.get(f"{kind}[]" if "[" in name else kind)
    if figure is None or tolerance is None:
        raise EdgernnError(
            f"cannot tell: the baseline has the figure {name}, but no tolerance for it that this edgernn knows; write a new "
            "one with --update"
        )
    allowed = tolerance * abs(before) if figure.relative else tolerance
    if not math.isfinite(allowed):
        raise EdgernnError(f"cannot tell: the baseline allows {name} any value (tolerance {tolerance:g} of {before:g})")
    if pair is not None and abs(pair.before - before) > max(DISAGREE, 1e-4 * abs(before)):
        raise EdgernnError(
            f"cannot tell: {base.path} says {name} = {before:g}, item by item it says {pair.before:g}; write a new one with "
            "--update"
        )
    return _judged(name, before, value, _Rule(figure, tolerance, allowed, base.level), pair)


@dataclass(frozen=True)
class _Rule:
    """How a figure is judged. allowed: the loss that its tolerance lets pass, in its own unit."""

    figure: Figure
    tolerance: float
    allowed: float
    level: float

    def verdict(self, before: float, now: float, pair: Pair | None) -> str:
        """See the module docstring."""
        if self.figure.better * (before - now) <= self.allowed + _SLACK:
            return OK
        if pair is None or self.level >= 1 or pair.chance < self.level:
            return WORSE
        return UNCLEAR

    @property
    def shown(self) -> str:
        """The tolerance as people read it."""
        if self.figure.relative:
            return f"{100 * self.tolerance:g} %"
        return f"{100 * self.tolerance:g} points" if self.figure.points else f"{self.tolerance:g}"


def _judged(name: str, before: float, value: float | None, rule: _Rule, pair: Pair | None) -> dict[str, Any]:
    """The row; of a pair the figures are its own, since a figure may follow from both runs."""
    now = value if pair is None else round(pair.now, 6)
    verdict = MISSING if value is None or now is None else rule.verdict(before, now, pair)
    row = {"metric": name, "baseline": before, "value": now if value is not None else None, "tolerance": rule.shown,
           "verdict": verdict, "ok": verdict in (OK, UNCLEAR)}  # fmt: skip
    if pair is None:
        return row
    changed = {"lost": dict(pair.lost), "won": list(pair.won)} if pair.lost or pair.won else {}
    return {**row, "paired": pair.says, "chance": round(pair.chance, 4), **changed}


def _of_recipe(own: GateParams) -> Iterator[str]:
    """What the baseline does not decide."""
    said = [f"{name} {x:g}" for name, x in own.tolerances.items()] + ([f"level {own.level:g}"] if own.level else [])
    if said:
        yield f"judged as the recipe says, whatever the baseline says: {', '.join(said)}"


def _notes(base: Baseline, now: Found, run: Path) -> Iterator[str]:
    """What would be judged better with newer figures."""
    if base.version < 2:
        yield f"{base.path} is of version {base.version}: it is judged by tolerances, not item by item; --update renews it"
    for scheme, outcomes in base.outcomes.items():
        lost = sorted(set(outcomes) - set(now.outcomes.get(scheme, {})))
        if lost:
            yield f"{scheme}.{lost[0]} is not told item by item any more; run `edgernn simulate {run}` again"
