"""The regression gate: a run's figures against a baseline, each with its tolerance (`edgernn check`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json, write_json
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


def known_figures() -> dict[str, Figure]:
    """Every figure that may stand in a baseline, by name."""
    return {**COMMON, **{name: f for task in all_tasks().values() for name, f in task.gated.items()}}


def collect(run: Path) -> dict[str, Any]:
    """A run folder's figures and what they depend on: {"graph", "context", "metrics"}."""
    simulated = [read_json(p) for p in sorted(run.glob("simulate-*.json"))]
    boards = [read_json(p) for p in sorted(run.glob("run-*.json"))]
    if not simulated:
        raise EdgernnError(f"{run} holds no simulate-*.json; run `edgernn simulate {run}` first")
    metrics: dict[str, float] = {}
    context: dict[str, str] = {}
    for s in simulated:
        key = s["scheme"]
        context[f"{key}.test_set"], quality = find_task(s.get("task"), str(run)).figures(s)
        metrics |= {f"{key}.{name}": value for name, value in quality.items()}
        metrics[f"{key}.weight_bytes"] = s["weight_bytes"]
    for b in boards:
        context[f"{b['board']}.compiler"] = f"{b['toolchain']} {b['optimize']}"
        for name in ("flash_bytes", "ram_bytes", "instructions_per_step"):
            metrics[f"{b['board']}.{name}"] = b[name]
    return {"graph": simulated[0]["graph"], "context": context, "metrics": metrics}


def write_baseline(run: Path, path: Path) -> Path:
    """Write the run's figures and today's tolerances as a baseline."""
    found = collect(run)
    kinds = {name.rsplit(".", 1)[-1] for name in found["metrics"]}
    tolerances = {name: figure.tolerance for name, figure in known_figures().items() if name in kinds}
    write_json(path, {"baseline": BASELINE_VERSION, "tolerances": tolerances, **found})
    return path


def check(run: Path, path: Path) -> dict[str, Any]:
    """Compare; rows say which metric is worse. EdgernnError (exit 2) when the two cannot be compared."""
    base = read_json(path)
    if not isinstance(base, dict) or base.get("baseline") != BASELINE_VERSION:
        raise EdgernnError(f"{path} is not a baseline of version {BASELINE_VERSION}; write one with `edgernn check --update`")
    now = collect(run)
    for key, value in base["context"].items():
        if now["context"].get(key) != value:
            raise EdgernnError(
                f"cannot tell: {key} was {value!r} in the baseline and is {now['context'].get(key)!r} now; "
                "compare like with like, or write a new baseline with --update"
            )
    rows = [_row(name, value, now["metrics"].get(name), base["tolerances"]) for name, value in sorted(base["metrics"].items())]
    return {"graph": now["graph"], "baseline": str(path), "rows": rows}


def _row(name: str, before: float, value: float | None, tolerances: dict[str, float]) -> dict[str, Any]:
    """One metric: ok unless it is missing or worse by more than the tolerance."""
    kind = name.rsplit(".", 1)[-1]
    figure, tolerance = known_figures().get(kind), tolerances.get(kind)
    if figure is None or tolerance is None:
        raise EdgernnError(f"cannot tell: the baseline has the figure {name}, but no tolerance for it that this edgernn knows")
    allowed = tolerance * abs(before) if figure.relative else tolerance
    ok = value is not None and figure.better * (value - before) >= -allowed - 1e-12
    percent = f"{100 * tolerance:g} %" if figure.relative else f"{100 * tolerance:g} points"
    shown = percent if figure.relative or figure.points else f"{tolerance:g}"
    return {"metric": name, "baseline": before, "value": value, "tolerance": shown, "ok": ok}
