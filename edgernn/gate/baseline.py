"""The baseline: a file that is committed beside a model, and says what its figures were, by whom, when and why."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgernn import __version__
from edgernn.artifacts import read_json, write_text
from edgernn.errors import EdgernnError
from edgernn.gate.reading import Found, collect, is_number, kind_of, known_figures
from edgernn.notes import note
from edgernn.outcomes import Marks, Outcome, outcome_dict, read_outcome
from edgernn.recipe import GateParams
from edgernn.tasks import recipe_gate

VERSION = 2
LEVEL = 0.1  #: of losses that are none, no more than so many are called one
FEWEST = 4  #: items lost, and none won, that are no chance at the usual level
ANY = "any"  #: a test set that is made anew on each machine: it is the same when its items are


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with. A version 1 had neither model nor outcomes: its figures are judged by tolerances alone."""

    path: Path
    metrics: dict[str, float]
    tolerances: dict[str, float]
    context: dict[str, str]
    level: float = LEVEL
    model: dict[str, Any] = field(default_factory=dict)
    graphs: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    version: int = VERSION

    def with_recipe(self, own: GateParams) -> Baseline:
        """Judged as the run's recipe says, where it says something."""
        return replace(self, tolerances={**self.tolerances, **own.tolerances}, level=own.level or self.level)


_PARTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "context": ("texts", lambda x: isinstance(x, str)),
    "metrics": ("numbers", is_number),
    "tolerances": ("numbers of at least 0", lambda x: is_number(x) and x >= 0),
    "written": ("texts", lambda x: isinstance(x, str)),
    "graphs": ("texts", lambda x: isinstance(x, str)),
    "outcomes": ("tables", lambda x: isinstance(x, Mapping)),
}
_NEEDED = ("context", "metrics", "tolerances")


def read_baseline(path: Path) -> Baseline:
    """A baseline that says something, all of it of the right kind; versions 1 and 2."""
    base = read_json(path)
    version = base.get("baseline") if isinstance(base, dict) else None
    if type(version) is not int or not 1 <= version <= VERSION:
        newer = type(version) is int and version > VERSION
        remedy = "a newer edgernn reads it" if newer else "write one with `edgernn check --update`"
        raise EdgernnError(f"cannot tell: {path} is not a baseline of version 1 to {VERSION}; {remedy}")
    for part, (what, fits) in _PARTS.items():
        values = base.get(part, {})
        if not isinstance(values, dict) or (not values and part in _NEEDED):
            raise EdgernnError(f"cannot tell: the baseline {path} has no {part}; write a new one with --update")
        wrong = next((name for name, x in values.items() if not fits(x)), None)
        if wrong is not None:
            raise EdgernnError(f"cannot tell: {path}: {part}.{wrong} = {values[wrong]!r}; {part} are {what}")
    level, model = base.get("level", LEVEL), base.get("model", {})
    if not is_number(level) or not 0 < level <= 1:
        raise EdgernnError(f"cannot tell: {path}: level = {level!r}; it is a chance, above 0 and at most 1")
    if not isinstance(model, dict):
        raise EdgernnError(f"cannot tell: {path}: model = {model!r} is no table; write a new one with --update")
    parts = {part: base.get(part, {}) for part in ("metrics", "tolerances", "context", "graphs", "written")}
    return Baseline(path, **parts, level=level, model=model, outcomes=_outcomes(path, base), version=version)


def _outcomes(path: Path, base: Mapping[str, Any]) -> dict[str, dict[str, Outcome]]:
    """Those of each scheme; they must say what the figures say."""
    out: dict[str, dict[str, Outcome]] = {}
    for scheme, found in base.get("outcomes", {}).items():
        for name, values in found.items():
            try:
                out.setdefault(scheme, {})[name] = read_outcome(values)
            except ValueError as error:
                raise EdgernnError(
                    f"cannot tell: {path}: the outcomes {scheme}.{name} are damaged ({error}); write a new one with --update"
                ) from None
    return out


def write_baseline(
    run: Path, path: Path, why: str = "", level: float | None = None, tolerances: Mapping[str, float] | None = None,
    any_data: bool = False,
) -> Path:  # fmt: skip
    """Write the run's figures as a baseline; figures of wrong bits are none.

    Tolerances and level stay as they are in the baseline that is replaced; `level` and `tolerances` change them, but for those
    that the run's recipe says. why: what it
    is for; needed where there is one already. any_data: every machine makes the test set anew, and it is the same when its
    items are.
    """
    found, kept = collect(run), _kept(path)
    wrong = {name: count for name, count in found.differing.items() if count}
    if wrong:
        raise EdgernnError(
            f"no baseline was written: {', '.join(f'{name} = {n}' for name, n in wrong.items())}; mend that first"
        )
    if path.exists() and not why.strip():
        raise EdgernnError(f"no baseline was written: say with --why why {path} is to be replaced; it is kept in the file")
    usual, own = _tolerances(found), recipe_says(run)
    _refuse_against_recipe(run, own, level, tolerances or {})
    given = {**(kept.tolerances if kept else {}), **(tolerances or {}), **own.tolerances}
    unknown = sorted(set(tolerances or {}) - set(usual))
    if unknown:
        raise EdgernnError(f"no baseline was written: {run} has no figure {unknown[0]}; it has {', '.join(usual)}")
    level = own.level or level or (kept.level if kept else LEVEL)
    _say_what_can_be_seen(found, usual, level)
    written = {"who": who(), "when": datetime.now(UTC).isoformat(timespec="seconds"), "why": why or "the first baseline",
               "edgernn": __version__}  # fmt: skip
    write_text(path, _text({
        "baseline": VERSION, "written": written, "model": found.model, "graphs": found.graphs,
        "context": _contexts(found, kept, any_data), "level": level,
        "tolerances": {**usual, **{name: x for name, x in given.items() if name in usual}}, "metrics": found.metrics,
        "outcomes": {s: {name: outcome_dict(x) for name, x in of.items()} for s, of in found.outcomes.items() if of},
    }))  # fmt: skip
    return path


def recipe_says(run: Path) -> GateParams:
    """How the run's recipe wants to be judged; a folder that holds results alone says nothing."""
    path = run / "recipe.json"
    values = read_json(path) if path.is_file() else {}
    if not isinstance(values, Mapping):
        raise EdgernnError(f"cannot tell: {path} is no recipe; prepare the run again with `edgernn data`")
    return recipe_gate(values, f"cannot tell: {path}")


def _refuse_against_recipe(run: Path, own: GateParams, level: float | None, tolerances: Mapping[str, float]) -> None:
    """What the recipe says is changed there: it would be judged by anyway."""
    said = [f"tolerances.{name}" for name in tolerances if name in own.tolerances]
    said += ["level"] if level and own.level else []
    if said:
        raise EdgernnError(f"no baseline was written: the recipe of {run} says gate.{said[0]}; change it in {run}/recipe.json")


def _text(base: Mapping[str, Any]) -> str:
    """Sorted JSON, one item a line but for rows of numbers: what changed is seen in a review."""
    text = json.dumps(base, indent=2, sort_keys=True)
    return re.sub(r"\[\n\s+([-+.\deE,\s]+?)\s+\]", lambda row: f"[{' '.join(row[1].split())}]", text) + "\n"


def _kept(path: Path) -> Baseline | None:
    """The baseline that is to be replaced; one that cannot be read has nothing to keep."""
    try:
        return read_baseline(path) if path.exists() else None
    except EdgernnError as error:
        note(f"{error}; its tolerances are not kept")
        return None


def _contexts(found: Found, kept: Baseline | None, any_data: bool) -> dict[str, str]:
    """What the figures depend on; what was said to be any stays so."""
    anew = {name for name in found.context if any_data and name.endswith(".test_set")}
    anew |= {name for name, text in kept.context.items() if text == ANY} if kept else set()
    return {name: ANY if name in anew else text for name, text in found.context.items()}


def _tolerances(found: Found) -> dict[str, float]:
    """Today's, of every figure that was found, and of the groups of some."""
    known, out = known_figures(found.model["task"]), {}
    for metric in found.metrics:
        kind, figure = kind_of(metric), known.get(kind_of(metric))
        if figure is not None:
            out[kind] = figure.tolerance
            if figure.group is not None and "[" in metric:
                out[f"{kind}[]"] = figure.group
    return dict(sorted(out.items()))


def _say_what_can_be_seen(found: Found, tolerances: Mapping[str, float], level: float) -> None:
    """A small test set shows large losses only, and that is known before a team relies on it."""
    small = {}
    for of in found.outcomes.values():
        for name, outcome in of.items():
            items = sum(outcome.of.values()) if isinstance(outcome, Marks) else 0
            if items and tolerances.get(name, 1.0) * items < FEWEST:
                small[name] = f"{name} of {items} items from {100 * FEWEST / items:.2g} points on"
    if small and level < 1:
        note(f"so few items show large losses only, smaller ones pass as unclear unless --level 1: {', '.join(small.values())}")


def who() -> str:
    """Who asked for it, as far as the machine knows: the CI's user, git's, the system's."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
        name = done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        name = ""
    try:
        return name or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
