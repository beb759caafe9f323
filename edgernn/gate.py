"""The regression gate: a run's figures against a baseline, each with its tolerance (`edgernn check`).

It judges only what it can: figures of one graph, judged on one test set, finite numbers of the right kind. Anything else is
an error (exit code 2), never a pass.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json, write_json
from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.tasks import all_tasks, find_task
from edgernn.tasks.base import Figure

BASELINE_VERSION = 1

#: what every task's runs are compared by
COMMON: dict[str, Figure] = {
    "weight_bytes": Figure(-1, 0.0, relative=True),
    "flash_bytes": Figure(-1, 0.01, relative=True),
    "ram_bytes": Figure(-1, 0.0, relative=True),
    "instructions_per_step": Figure(-1, 0.01, relative=True),
}
#: those of a board; the others are of a scheme
_OF_BOARD = ("flash_bytes", "ram_bytes", "instructions_per_step")


def known_figures() -> dict[str, Figure]:
    """Every figure that may stand in a baseline, by name."""
    return {**COMMON, **{name: f for task in all_tasks().values() for name, f in task.gated.items()}}


# What lies in the run folder ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Results:
    """One JSON file of a run folder; what is missing in it or of another kind is an error that says what makes it anew."""

    path: Path
    verb: str
    values: Mapping[str, Any]

    def bad(self, what: str) -> EdgernnError:
        return EdgernnError(f"cannot tell: {self.path}: {what}; run `edgernn {self.verb}` again")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.bad(f"{key} = {value!r} is no text")
        return value

    def number(self, key: str, low: float = 0) -> float:
        value: Any = self.values.get(key)
        if not _is_number(value) or value < low:
            raise self.bad(f"{key} = {value!r} is no number of at least {low:g}")
        return float(value)

    def count(self, key: str, low: int = 0) -> int:
        value: Any = self.values.get(key)
        if type(value) is not int or not _is_number(value) or value < low:
            raise self.bad(f"{key} = {value!r} is no integer of at least {low}")
        return value


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _all_results(run: Path, kind: str, verb: str) -> list[_Results]:
    """The files `kind`-NAME.json; each must be of what its name says."""
    found = [_Results(path, verb, read_json(path)) for path in sorted(run.glob(f"{kind}-*.json"))]
    for r in found:
        if not isinstance(r.values, Mapping):
            raise r.bad("it holds no table of results")
        own = r.text("board" if kind == "run" else "scheme")
        if r.path.name != f"{kind}-{own}.json" or (kind != "run" and own not in SCHEMES):
            raise r.bad(f"it holds the results of {own}")
    return found


def _check_one_graph(run: Path, simulated: list[_Results], others: list[_Results]) -> None:
    """All figures of a scheme must be of one graph, that of the folder's own graph file where there is one."""
    of_scheme: dict[str, tuple[Path, str]] = {}
    for scheme in SCHEMES:
        path = run / f"graph-{scheme}.ern"
        if path.is_file():
            of_scheme[scheme] = path, hashlib.sha256(path.read_bytes()).hexdigest()
    for r in (*simulated, *others):
        graph = r.text("graph")
        own: Any = r.values.get("scheme")
        if own is None:  # a board's results of before the scheme was told
            own = next((s for s, (_, known) in of_scheme.items() if known == graph), next(iter(of_scheme)))
        elif own not in SCHEMES:
            raise r.bad(f"scheme = {own!r} is unknown")
        path, known = of_scheme.setdefault(own, (r.path, graph))
        if graph != known:
            raise r.bad(f"its figures are of graph {graph[:12]}, {path.name} is graph {known[:12]}")


def _quality(r: _Results) -> tuple[str, dict[str, float]]:
    """What a result was judged on, and its figures, each a number that can be compared."""
    task = find_task(r.values.get("task"), str(r.path))
    try:
        test_set, figures = task.figures(r.values)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise r.bad(f"it lacks figures ({type(error).__name__}: {error})") from None
    for name, value in figures.items():
        if not _is_number(value) or (name in task.gated and task.gated[name].points and not 0 <= value <= 1):
            raise r.bad(f"{name} = {value!r} cannot be judged")
    return test_set, figures


def _differing(boards: list[_Results], compared: list[_Results]) -> Iterator[tuple[str, int]]:
    """Entries that differ from the definition, of every board and every compared runtime."""
    for b in boards:
        b.count("entries", 1)
        yield f"{b.text('board')}.bits_differing", b.count("bits_differing")
    for c in compared:
        rows = c.values.get("rows")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
            raise c.bad("it compares no runtimes")
        for row in (_Results(c.path, c.verb, row) for row in rows):
            row.count("entries", 1)
            yield f"{c.text('scheme')}.{row.text('runtime')}.entries_differing", row.count("differing")


def collect(run: Path) -> dict[str, Any]:
    """A run folder's figures and what they depend on: {"graph", "context", "metrics", "differing"}."""
    simulated = _all_results(run, "simulate", f"simulate {run}")
    boards = _all_results(run, "run", f"run {run}")
    compared = _all_results(run, "compare", f"simulate {run} --compare")
    if not simulated:
        raise EdgernnError(f"{run} holds no simulate-*.json; run `edgernn simulate {run}` first")
    _check_one_graph(run, simulated, [*compared, *boards])
    metrics: dict[str, float] = {}
    context: dict[str, str] = {}
    for s in simulated:
        key = s.text("scheme")
        context[f"{key}.test_set"], quality = _quality(s)
        metrics |= {f"{key}.{name}": value for name, value in quality.items()}
        metrics[f"{key}.weight_bytes"] = s.count("weight_bytes", 1)
    for b in boards:
        board = b.text("board")
        context[f"{board}.compiler"] = f"{b.text('toolchain')} {b.text('optimize')}"
        b.number("instructions_per_step", 1)
        metrics |= {f"{board}.{name}": b.values[name] for name in _OF_BOARD if b.number(name) >= 0}
    differing = dict(_differing(boards, compared))
    return {"graph": simulated[0].text("graph"), "context": context, "metrics": metrics, "differing": differing}


# Baselines ---------------------------------------------------------------------------


def write_baseline(run: Path, path: Path) -> Path:
    """Write the run's figures and today's tolerances as a baseline; figures of wrong bits are none."""
    found = collect(run)
    wrong = {name: count for name, count in found.pop("differing").items() if count}
    if wrong:
        raise EdgernnError(
            f"no baseline was written: {', '.join(f'{name} = {n}' for name, n in wrong.items())}; mend that first"
        )
    kinds = {name.rsplit(".", 1)[-1] for name in found["metrics"]}
    tolerances = {name: figure.tolerance for name, figure in known_figures().items() if name in kinds}
    write_json(path, {"baseline": BASELINE_VERSION, "tolerances": tolerances, **found})
    return path


def _baseline(path: Path) -> dict[str, Any]:
    """A baseline that says something, all of it of the right kind."""
    base = read_json(path)
    if not isinstance(base, dict) or base.get("baseline") != BASELINE_VERSION or isinstance(base["baseline"], bool):
        raise EdgernnError(f"{path} is not a baseline of version {BASELINE_VERSION}; write one with `edgernn check --update`")
    kinds: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "context": ("texts", lambda x: isinstance(x, str)),
        "metrics": ("numbers", _is_number),
        "tolerances": ("numbers of at least 0", lambda x: _is_number(x) and x >= 0),
    }
    for part, (what, fits) in kinds.items():
        values = base.get(part)
        if not isinstance(values, dict) or not values:
            raise EdgernnError(f"cannot tell: the baseline {path} has no {part}; write a new one with --update")
        wrong = next((name for name, x in values.items() if not fits(x)), None)
        if wrong is not None:
            raise EdgernnError(f"cannot tell: {path}: {part}.{wrong} = {values[wrong]!r}; {part} are {what}")
    return base


def _check_context(base: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Like must be compared with like: every figure's test set or compiler is known and the same."""
    needed = [
        f"{key}.{'compiler' if kind in _OF_BOARD else 'test_set'}"
        for key, kind in (name.rsplit(".", 1) for name in base["metrics"] if name in now["metrics"])
    ]
    for key in dict.fromkeys([*base["context"], *needed]):
        before, found = base["context"].get(key), now["context"].get(key)
        if before != found:
            raise EdgernnError(
                f"cannot tell: {key} was {before!r} in the baseline and is {found!r} now; "
                "compare like with like, or write a new baseline with --update"
            )


def check(run: Path, path: Path) -> dict[str, Any]:
    """Compare; rows say which metric is worse. EdgernnError (exit 2) when the two cannot be compared.

    Rows of differing bits need no baseline: any is too many. unjudged: figures of the run that the baseline lacks.
    """
    base, now = _baseline(path), collect(run)
    _check_context(base, now)
    rows = [_row(name, value, now["metrics"].get(name), base["tolerances"]) for name, value in sorted(base["metrics"].items())]
    rows += [
        {"metric": name, "baseline": 0, "value": count, "tolerance": "0", "ok": count == 0}
        for name, count in sorted(now["differing"].items())
    ]
    unjudged = sorted(set(now["metrics"]) - set(base["metrics"]))
    return {"graph": now["graph"], "baseline": str(path), "rows": rows, "unjudged": unjudged}


def _row(name: str, before: float, value: float | None, tolerances: dict[str, float]) -> dict[str, Any]:
    """One metric: ok unless it is missing or worse by more than the tolerance."""
    kind = name.rsplit(".", 1)[-1]
    figure, tolerance = known_figures().get(kind), tolerances.get(kind)
    if figure is None or tolerance is None:
        raise EdgernnError(f"cannot tell: the baseline has the figure {name}, but no tolerance for it that this edgernn knows")
    allowed = tolerance * abs(before) if figure.relative else tolerance
    if not math.isfinite(allowed):
        raise EdgernnError(f"cannot tell: the baseline allows {name} any value (tolerance {tolerance:g} of {before:g})")
    ok = value is not None and figure.better * (value - before) >= -allowed - 1e-12
    percent = f"{100 * tolerance:g} %" if figure.relative else f"{100 * tolerance:g} points"
    shown = percent if figure.relative or figure.points else f"{tolerance:g}"
    return {"metric": name, "baseline": before, "value": value, "tolerance": shown, "ok": ok}
