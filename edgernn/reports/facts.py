"""What a run folder holds that a page can tell, read once and checked; what is missing is told, what is damaged is an error."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgernn.artifacts import read_json
from edgernn.console import beside
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.runs import find_graph, load_data, run_checkpoint
from edgernn.tasks import load_graph, task_of
from edgernn.zoo import model_at

if TYPE_CHECKING:
    from edgernn.core.floatnet import FloatNet
    from edgernn.data.corpus import Dataset
    from edgernn.tasks.base import Task

Values = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """A run: its graph, results of `simulate` and `quantize` (None where they were not run), of boards, and its training.

    name: what the page calls it; boards: results of `edgernn run`; metrics: columns of metrics.csv; missing: sentences, filled
    as sections are made. sound_seconds: of sound that its players may hold; 0: recordings are left alone.
    """

    name: str
    folder: Path
    graph: NetGraph
    simulated: Values | None
    quantized: Values | None
    boards: list[Values]
    metrics: Mapping[str, list[float]]
    missing: list[str] = field(default_factory=list)
    sound_seconds: float = 24.0

    @property
    def task(self) -> Task:
        """What the graph was trained for."""
        return task_of(self.graph)

    def dataset(self) -> Dataset | None:
        """The recordings; None, and a sentence in `missing`, where they are gone, or others than those that were judged on."""
        if not self.sound_seconds:
            self.missing.append("no recordings were asked for, so there are none to listen to")
            return None
        found = self._or_missing(lambda: load_data(self.folder), "no recordings, so none to listen to")
        judged = (self.simulated or {}).get("dataset", found.id if found else None)
        if found and judged != found.id:
            self.missing.append(f"{self.folder}/data holds other recordings than those judged on; `edgernn simulate` again")
            return None
        return found

    def checkpoint(self) -> FloatNet[Any] | None:
        """The float net; None, and a sentence in `missing`, where it is gone."""
        return self._or_missing(lambda: run_checkpoint(self.folder), "no float net to compare with")

    def _or_missing(self, load: Callable[[], T], what: str) -> T | None:
        try:
            return load()
        except EdgernnError as error:
            self.missing.append(f"{what}: {error}")
            return None


def read_facts(folder: Path, scheme: str | None, name: str, sound_seconds: float = 24.0) -> Facts:
    """Everything of a run folder, or of a model that comes along; results of another graph are told, damaged ones an error."""
    if folder.is_file():
        raise EdgernnError(f"{folder} is a file; name the run folder that holds it")
    graph = load_graph(find_graph(folder, scheme))
    missing: list[str] = []
    place = beside(folder)
    simulated, quantized = (
        _of_graph(place / f"{verb}-{graph.scheme}.json", folder, graph, verb, missing) for verb in ("simulate", "quantize")
    )
    found = [_of_graph(path, folder, graph, "run", missing) for path in sorted(place.glob("run-*.json"))]
    boards = [b for b in found if b is not None and "instructions_per_second" in b]  # Linux boards are not counted
    metrics = _metrics(place / "metrics.csv", missing)
    return Facts(name, folder, graph, simulated, quantized, boards, metrics, missing, sound_seconds)


def refuse_gone(folder: Path) -> None:
    """A run that was judged on recordings which are gone is refused; models that come along never had any."""
    if not folder.is_dir() or model_at(folder) or not any(folder.glob("simulate-*.json")):
        return
    try:
        load_data(folder)
    except EdgernnError as error:
        raise EdgernnError(
            f"the recordings that {folder} was judged on are gone ({error}); --no-recordings makes a page without sounds"
        ) from None


def _of_graph(path: Path, folder: Path, graph: NetGraph, verb: str, missing: list[str]) -> Values | None:
    """Results of a verb on this graph."""
    again = f"`edgernn {verb} {folder}`"
    if not path.is_file():
        missing.append(f"no {path.name}: {again} writes it")
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise EdgernnError(f"{path} is damaged: it holds no table of results; {again} writes it anew")
    if found.get("graph") != graph.id:
        missing.append(f"{path.name} is of another graph: {again} writes it anew")
        return None
    return found


def _metrics(path: Path, missing: list[str]) -> dict[str, list[float]]:
    """The columns of a training's table, by name."""
    if not path.is_file():
        missing.append("no metrics.csv: the model was not trained here")
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {str(key): [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}
    except (ValueError, TypeError, csv.Error) as error:
        raise EdgernnError(f"{path} is damaged ({error}); delete it, or train again") from None


@contextmanager
def readable(*runs: Facts) -> Iterator[None]:
    """Results that lack what a section needs are damaged, or of an older version: one sentence."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        where = " or ".join(str(run.folder) for run in runs)
        raise EdgernnError(
            f"the results in {where} lack figures ({type(error).__name__}: {error}); run `edgernn simulate` and "
            "`edgernn quantize` on it again"
        ) from error
