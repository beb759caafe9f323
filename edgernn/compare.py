"""The same graph in several runtimes, side by side: bits that differ from the definition, speed, size, what the task adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError
from edgernn.runtimes import Runtime, make_runtime, runtime_names
from edgernn.tasks.base import Material

Int16 = NDArray[np.int16]
Progress = Callable[[str, int, int], None]
DEFINITION = "numpy"


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime: entries of features, scores and states that differ from the definition's, over clips and stream.

    first: (step, tensor) of the first difference in the stream. us_per_step: microseconds on this host, front end left out.
    """

    runtime: str
    steps: int
    entries: int
    differing: int
    first: tuple[int, str] | None
    us_per_step: float
    file_bytes: int | None
    arena_bytes: int | None


@dataclass(frozen=True)
class _Run:
    clips: list[Trace]
    stream: Trace
    seconds: float


def _wanted(names: str) -> list[str]:
    """All, or those of a comma-separated list; the definition first."""
    chosen = runtime_names() if names == "all" else [name.strip() for name in names.split(",")]
    return list(dict.fromkeys([DEFINITION, *chosen]))


def _runtimes(graph: NetGraph, names: str, skipped: dict[str, str], progress: Progress) -> Iterator[Runtime[NetGraph]]:
    """The wanted runtimes in turn; with "all", one that cannot run here goes into `skipped` with the reason."""
    wanted = _wanted(names)
    for done, name in enumerate(wanted):
        progress("comparing runtimes", done, len(wanted))
        try:
            runtime = make_runtime(name, graph)
        except EdgernnError as error:
            if names != "all":
                raise
            skipped[name] = str(error)
            continue
        yield runtime
    progress("comparing runtimes", len(wanted), len(wanted))


def compare_runtimes(graph: NetGraph, names: str, material: Material, progress: Progress) -> dict[str, Any]:
    """Rows for `names`; with "all", a runtime that cannot run here is named under "skipped" instead of being an error."""
    definition: _Run | None = None
    table: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for runtime in _runtimes(graph, names, skipped, progress):
        run = _run(runtime, material)
        definition = definition or run
        extras = material.extras((run.clips, run.stream), (definition.clips, definition.stream))
        table.append({**asdict(_row(runtime, run, definition)), **extras})
    return {"graph": graph.id, "scheme": graph.scheme, "split": material.split, "rows": table, "skipped": skipped}


def _run(runtime: Runtime[NetGraph], material: Material) -> _Run:
    """Every clip from reset, then the stream from reset."""
    clips = []
    for clip in material.clips:
        runtime.reset()
        clips.append(runtime.run_features(runtime.features(clip)))
    runtime.reset()
    frames = runtime.features(material.stream)
    begin = time.perf_counter()
    trace = runtime.run_features(frames)
    return _Run(clips, trace, time.perf_counter() - begin)


def _row(runtime: Runtime[NetGraph], run: _Run, definition: _Run) -> RuntimeRow:
    pairs = [*zip(definition.clips, run.clips, strict=True), (definition.stream, run.stream)]
    steps = len(run.stream.logits)
    return RuntimeRow(
        runtime.name, sum(len(t.logits) for _, t in pairs), sum(a.size for _, t in pairs for _, a in t.arrays()),
        sum(sum(d.differing(t).values()) for d, t in pairs),
        definition.stream.first_difference(run.stream, runtime.graph.frames_per_step),
        round(run.seconds / max(1, steps) * 1e6, 2), runtime.file_bytes, runtime.arena_bytes,
    )  # fmt: skip
