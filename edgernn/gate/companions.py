"""Graphs that are committed without their figures (`edgernn figures`): nobody can say later whether the next one is worse."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json
from edgernn.errors import EdgernnError
from edgernn.gate.baseline import VERSION


def check_figures(graphs: Sequence[Path]) -> dict[str, Any]:
    """rows: each graph file, its id, the file beside it that holds its figures, and else what is wrong.

    Figures are a simulate-*.json, or a baseline of version 2: a JSON file beside the graph or in a folder above it, up to the
    repository's root or the working folder.
    """
    return {"rows": [_row(path) for path in graphs]}


def _row(path: Path) -> dict[str, Any]:
    try:
        graph = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EdgernnError(f"cannot read graph file {path}: {error.strerror}") from None
    others: list[str] = []
    for file in _beside(path):
        of = _graphs_of(file)
        if graph in of:
            return {"graph_file": str(path), "graph": graph, "figures": str(file), "wrong": ""}
        others += [f"{file} is of graph {', '.join(x[:12] for x in of)}"] if of else []
    wrong = "; ".join(others) or "no simulate-*.json and no baseline lies beside it"
    return {"graph_file": str(path), "graph": graph, "figures": None, "wrong": wrong}


def _beside(path: Path) -> Iterator[Path]:
    """JSON files that may hold the figures of a graph, the nearest first."""
    here = path.resolve().parent
    yield from sorted(here.glob("simulate-*.json"))
    for folder in (here, *here.parents):
        yield from sorted(folder.glob("*baseline*.json"))
        if (folder / ".git").exists() or folder == Path.cwd().resolve():
            return


def _graphs_of(file: Path) -> list[str]:
    """The ids of the graphs whose figures a file holds; none where it holds no figures, or is damaged."""
    try:
        values = read_json(file)
    except EdgernnError:
        return []
    if not isinstance(values, dict):
        return []
    if file.name.startswith("simulate-"):
        return [values["graph"]] if isinstance(values.get("graph"), str) else []
    graphs = values.get("graphs") if values.get("baseline") == VERSION else None
    return [x for x in graphs.values() if isinstance(x, str)] if isinstance(graphs, dict) else []
