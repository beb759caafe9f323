"""The regression gate: a run's figures against a baseline, each with its tolerance (`edgernn check`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json, write_json
from edgernn.errors import EdgernnError

BASELINE_VERSION = 1

#: metric -> (direction: +1 when more is better, tolerance, relative: of the baseline's value, not absolute)
TOLERANCES: dict[str, tuple[int, float, bool]] = {
    "int8_accuracy": (+1, 0.005, False),
    "agreement": (+1, 0.005, False),
    "int8_pesq": (+1, 0.02, False),
    "int8_stoi": (+1, 0.005, False),
    "int8_si_sdr": (+1, 0.1, False),
    "weight_bytes": (-1, 0.0, True),
    "flash_bytes": (-1, 0.01, True),
    "ram_bytes": (-1, 0.0, True),
    "instructions_per_step": (-1, 0.01, True),
}


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
        context[f"{key}.test_set"], quality = _denoised(s) if "mean" in s else _spotted(s)
        metrics |= {f"{key}.{name}": value for name, value in quality.items()}
        metrics[f"{key}.weight_bytes"] = s["weight_bytes"]
    for b in boards:
        context[f"{b['board']}.compiler"] = f"{b['toolchain']} {b['optimize']}"
        for name in ("flash_bytes", "ram_bytes", "instructions_per_step"):
            metrics[f"{b['board']}.{name}"] = b[name]
    return {"graph": simulated[0]["graph"], "context": context, "metrics": metrics}


def _spotted(s: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """What a keyword spotter was judged on, and how it did."""
    clips = s["clips"]
    return f"{s['dataset']}/{clips['split']}", {"int8_accuracy": clips["integer"]["accuracy"], "agreement": clips["agreement"]}


def _denoised(s: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """The same of a denoiser."""
    judged = Path(s["list"]).name if s["list"] else f"{s['dataset']}/{s['split']}"
    return f"{judged}, {s['mixtures']} mixtures", {f"int8_{m}": s["mean"]["integer"][m] for m in ("pesq", "stoi", "si_sdr")}


def write_baseline(run: Path, path: Path) -> Path:
    """Write the run's figures and today's tolerances as a baseline."""
    found = collect(run)
    tolerances = {name: TOLERANCES[name][1] for name in TOLERANCES}
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
    direction, _, relative = TOLERANCES[kind]
    tolerance = tolerances[kind]
    allowed = tolerance * abs(before) if relative else tolerance
    ok = value is not None and direction * (value - before) >= -allowed - 1e-12
    points = kind in ("int8_accuracy", "agreement")
    shown = f"{100 * tolerance:g} %" if relative else f"{100 * tolerance:g} points" if points else f"{tolerance:g}"
    return {"metric": name, "baseline": before, "value": value, "tolerance": shown, "ok": ok}
