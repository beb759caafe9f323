"""What lies in a run folder: figures that can be compared, each of the graph that lies there, and what they depend on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json
from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.outcomes import Marks, Outcome
from edgernn.tasks import find_task
from edgernn.tasks.base import Figure, Task
from edgernn.zoo import refuse_to_write

#: those of one board, by a firmware of one compiler
_OF_FIRMWARE = ("flash_bytes", "ram_bytes", "state_bytes", "stack_bytes", "instructions_per_step", "cycles_per_step")
#: of them what must be there; the others are where they were measured
_MUST = ("flash_bytes", "ram_bytes")
_OF_RUNTIME = ("file_bytes", "arena_bytes")
DISAGREE = 2e-4  #: figures are rounded, their outcomes are not


def known_figures(task: str) -> Mapping[str, Figure]:
    """Every figure that may stand in a baseline of a task, by name."""
    return find_task(task, "the baseline").known_figures


def kind_of(metric: str) -> str:
    """The figure's name in a metric's, such as `int8_accuracy` in `int8x16.int8_accuracy[left]`."""
    return metric.split("[", 1)[0].rsplit(".", 1)[-1]


def context_of(metric: str) -> str | None:
    """What a metric depends on, by its name in the context; None: on the graph alone."""
    kind, owner = kind_of(metric), metric.split("[", 1)[0].rpartition(".")[0]
    if kind in _OF_RUNTIME:
        return None
    return f"{owner}.compiler" if kind in _OF_FIRMWARE else f"{owner}.test_set"


@dataclass(frozen=True)
class Results:
    """One JSON file of a run folder; what is missing in it or of another kind is an error that says what makes it anew."""

    path: Path
    verb: str
    values: Mapping[str, Any]

    def bad(self, what: str) -> EdgernnError:
        """Cannot tell."""
        return EdgernnError(f"cannot tell: {self.path}: {what}; run `edgernn {self.verb}` again")

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.bad(f"{key} = {value!r} is no text")
        return value

    def number(self, key: str, low: float = 0) -> float:
        """A finite number of at least `low`."""
        value: Any = self.values.get(key)
        if not is_number(value) or value < low:
            raise self.bad(f"{key} = {value!r} is no number of at least {low:g}")
        return value  # type: ignore[no-any-return]

    def count(self, key: str, low: int = 0) -> int:
        """An integer of at least `low`."""
        value: Any = self.values.get(key)
        if type(value) is not int or not is_number(value) or value < low:
            raise self.bad(f"{key} = {value!r} is no integer of at least {low}")
        return value


@dataclass(frozen=True)
class Found:
    """A run folder's figures and what they depend on.

    graphs: of each scheme; model: task, name and labels, as far as they are told; outcomes: scheme -> figure -> outcome;
    differing: entries of boards and runtimes that differ from the definition.
    """

    graphs: dict[str, str]
    model: dict[str, Any]
    context: dict[str, str]
    metrics: dict[str, float]
    differing: dict[str, int]
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict)


def is_number(value: Any) -> bool:
    """An int or a float that is finite; True is none."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def all_results(run: Path, kind: str, verb: str) -> list[Results]:
    """The files `kind`-NAME.json; each must be of what its name says."""
    found = [Results(path, verb, read_json(path)) for path in sorted(run.glob(f"{kind}-*.json"))]
    of_board = kind in ("run", "build")
    for r in found:
        if not isinstance(r.values, Mapping):
            raise r.bad("it holds no table of results")
        own = r.text("board" if of_board else "scheme")
        if r.path.name != f"{kind}-{own}.json" or (not of_board and own not in SCHEMES):
            raise r.bad(f"it holds the results of {own}")
    return found


def check_one_graph(run: Path, simulated: list[Results], others: list[Results]) -> dict[str, str]:
    """All figures of a scheme must be of one graph, that of the folder's own graph file where there is one; their ids."""
    of_scheme: dict[str, tuple[Path, str]] = {}
    for scheme in SCHEMES:
        path = run / f"graph-{scheme}.ern"
        if path.is_file():
            of_scheme[scheme] = path, hashlib.sha256(path.read_bytes()).hexdigest()
    judged = {}
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
        judged[str(own)] = graph
    return judged


def _quality(r: Results) -> tuple[str, dict[str, float], dict[str, Outcome]]:
    """What a result was judged on, its figures, each a number that can be compared, and their outcomes."""
    task = find_task(r.values.get("task"), str(r.path))
    try:
        test_set, figures = task.figures(r.values)
        outcomes = dict(task.outcomes(r.values))
        derived = {name: _shares(task, name, outcome) for name, outcome in outcomes.items()}
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise r.bad(f"it lacks figures ({type(error).__name__}: {error})") from None
    for name, shares in derived.items():
        told = figures.setdefault(name, shares[""])
        if is_number(told) and abs(told - shares[""]) > DISAGREE:
            raise r.bad(f"{name} = {told:g}, item by item it is {shares['']:g}")
        groups = {f"{name}[{g}]": share for g, share in shares.items() if g} if task.gated[name].group is not None else {}
        figures |= groups if len(groups) > 1 else {}
    for name, value in figures.items():
        figure = task.gated.get(kind_of(name))
        if not is_number(value) or (figure and figure.points and not 0 <= value <= 1):
            raise r.bad(f"{name} = {value!r} cannot be judged")
    return test_set, {name: round(value, 6) if type(value) is float else value for name, value in figures.items()}, outcomes


def _shares(task: Task, name: str, outcome: Outcome) -> dict[str, float]:
    """The figures that an outcome is: marks tell of failures, and where more is better the figure is the rest of them."""
    if name not in task.gated:
        raise ValueError(f"outcomes of an unknown figure {name}")
    shares = outcome.shares()
    if task.gated[name].better > 0 and isinstance(outcome, Marks):
        return {g: 1 - share for g, share in shares.items()}
    return shares


def _differing(boards: list[Results], compared: list[Results]) -> Iterator[tuple[str, int]]:
    """Entries that differ from the definition, of every board and every compared runtime."""
    for b in boards:
        for name, row in _emulated(b):
            row.count("entries", 1)
            yield f"{name}.bits_differing", row.count("bits_differing")
    for c in compared:
        for row in _runtimes(c):
            row.count("entries", 1)
            yield f"{c.text('scheme')}.{row.text('runtime')}.entries_differing", row.count("differing")


def _is_linux(b: Results) -> bool:
    """A Linux board's results: programs, one a kind of kernel, of which no firmware figures are known."""
    return "runs" in b.values


def _emulated(b: Results) -> Iterator[tuple[str, Results]]:
    """What ran on a board, by name: its firmware, or each of its programs."""
    board, runs = b.text("board"), b.values.get("runs")
    if not _is_linux(b):
        yield board, b
        return
    if not isinstance(runs, list) or not runs or not all(isinstance(row, Mapping) for row in runs):
        raise b.bad("it holds no runs")
    for row in (Results(b.path, b.verb, row) for row in runs):
        yield f"{board}.{row.text('machine')}", row


def _runtimes(c: Results) -> Iterator[Results]:
    """The rows of a comparison."""
    rows = c.values.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise c.bad("it compares no runtimes")
    yield from (Results(c.path, c.verb, row) for row in rows)


def _runtime_sizes(c: Results) -> dict[str, float]:
    """File and arena of each compared runtime that has one."""
    return {
        f"{c.text('scheme')}.{row.text('runtime')}.{key}": row.count(key, 1)
        for row in _runtimes(c) for key in _OF_RUNTIME if row.values.get(key) is not None
    }  # fmt: skip


def _model(simulated: list[Results]) -> dict[str, Any]:
    """Task, name and labels, which must be the same for every scheme."""
    models = []
    for r in simulated:
        labels = r.values.get("labels", [])
        if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
            raise r.bad("labels are no list of texts")
        told = {"name": r.text("name"), "labels": labels} if "name" in r.values else {}
        models.append({"task": find_task(r.values.get("task"), str(r.path)).name, **told})
    for r, model in zip(simulated, models, strict=True):
        if model != models[0]:
            raise r.bad(f"it is of the model {model}, {simulated[0].path.name} of {models[0]}")
    return models[0]


def collect(run: Path) -> Found:
    """A run folder's figures and what they depend on; EdgernnError where they are not of one model and graph."""
    simulated = all_results(run, "simulate", f"simulate {run}")
    boards = all_results(run, "run", f"run {run}")
    built = all_results(run, "build", f"build {run}")
    compared = all_results(run, "compare", f"simulate {run} --compare")
    if not simulated:
        if not run.is_dir():
            refuse_to_write(run)  # a model that comes along has a card, no figures to compare
        what = f"{run} holds no simulate-*.json" if run.is_dir() else f"{run} is no folder"
        raise EdgernnError(f"cannot tell: {what}; run `edgernn simulate {run}` first")
    quantized = all_results(run, "quantize", f"quantize {run}")
    graphs = check_one_graph(run, simulated, [*compared, *boards, *built, *quantized])
    metrics: dict[str, float] = {}
    context: dict[str, str] = {}
    outcomes: dict[str, dict[str, Outcome]] = {}
    for s in simulated:
        key = s.text("scheme")
        context[f"{key}.test_set"], quality, outcomes[key] = _quality(s)
        metrics |= {f"{key}.{name}": value for name, value in quality.items()}
        metrics |= {f"{key}.{name}": value for name, value in _costs(run, s).items()}
    firmware = [(b.text("board"), b) for b in boards if not _is_linux(b)]
    for owner, b in [*firmware, *((f"{b.text('board')}.application", b) for b in built)]:
        context[f"{owner}.compiler"] = f"{b.text('toolchain')} {b.text('optimize')}"
        metrics |= {f"{owner}.{key}": b.number(key, 1 if key.endswith("step") else 0) for key in _OF_FIRMWARE
                    if key in _MUST or b.values.get(key) is not None}  # fmt: skip
    for c in compared:
        metrics |= _runtime_sizes(c)
    for z in quantized:
        metrics |= {f"{z.text('scheme')}.tensor_snr_db": min(_tensor_snrs(z))} if z.text("scheme") in outcomes else {}
    return Found(graphs, _model(simulated), context, metrics, dict(_differing(boards, compared)), outcomes)


def _tensor_snrs(z: Results) -> Iterator[float]:
    """How far each tensor's integers are from its floats, in dB."""
    tensors = z.values.get("tensors")
    if not isinstance(tensors, list) or not tensors or not all(isinstance(row, Mapping) for row in tensors):
        raise z.bad("it holds no tensors")
    for row in tensors:
        yield Results(z.path, z.verb, row).number("snr_db", low=-300)


def _costs(run: Path, s: Results) -> dict[str, float]:
    """What a graph costs wherever it runs."""
    found: dict[str, float] = {"weight_bytes": s.count("weight_bytes", 1)}
    found |= {key: s.number(key) for key in ("latency_ms", "mmacs_per_second") if key in s.values}
    graph = run / f"graph-{s.text('scheme')}.ern"
    return {**found, "graph_bytes": graph.stat().st_size} if graph.is_file() else found
