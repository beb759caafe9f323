"""The same graph in several runtimes, side by side: accuracy, bits that differ from the definition, speed, size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgernn.clips import clip_pcm, label_indices
from edgernn.data.augment import make_stream
from edgernn.data.corpus import Dataset
from edgernn.decision import detect
from edgernn.errors import EdgernnError
from edgernn.features import Int16
from edgernn.graph import Graph, NetGraph
from edgernn.runtimes import Runtime, Trace, make_runtime, runtime_names
from edgernn.runtimes._base import GraphT
from edgernn.scoring import score_clips

Progress = Callable[[str, int, int], None]
DEFINITION = "numpy"


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime: clip accuracy; entries of features, logits, posteriors and states that differ from the definition's.

    events_differing: detections of the stream that one has and the other has not. first: (step, tensor) of the first
    difference in the stream. us_per_step: microseconds on this host, front end left out.
    """

    runtime: str
    accuracy: float
    clips: int
    steps: int
    entries: int
    differing: int
    events_differing: int
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


def _runtimes(graph: GraphT, names: str, skipped: dict[str, str], progress: Progress) -> Iterator[Runtime[GraphT]]:
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


def compare_runtimes(
    graph: Graph, names: str, dataset: Dataset, split: str, seconds: float, progress: Progress, recording: Int16 | None = None
) -> dict[str, Any]:
    """Rows for `names`; with "all", a runtime that cannot run here is named under "skipped" instead of being an error.

    recording: PCM [n] to run without a reset, instead of `seconds` of the split's clips in noise.
    """
    rows = dataset.clips(split)
    pcm, truth = clip_pcm(dataset, rows), label_indices(dataset, rows)
    stream = make_stream(rows, dataset, np.random.default_rng(2), seconds)[0] if recording is None else recording
    definition: _Run | None = None
    table: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for runtime in _runtimes(graph, names, skipped, progress):
        run = _run(runtime, pcm, stream)
        definition = definition or run
        table.append(asdict(_row(runtime, run, definition, truth)))
    return {"graph": graph.id, "scheme": graph.scheme, "dataset": dataset.id, "split": split, "rows": table, "skipped": skipped}


@dataclass(frozen=True)
class NetRow:
    """One runtime of a net alone: entries of logits, posteriors and states that differ; see RuntimeRow."""

    runtime: str
    steps: int
    entries: int
    differing: int
    first: tuple[int, str] | None
    us_per_step: float
    file_bytes: int | None
    arena_bytes: int | None


def compare_nets(graph: NetGraph, names: str, sound: Int16, progress: Progress) -> dict[str, Any]:
    """The net of any graph in several runtimes, over the features of one sound without a reset; see `compare_runtimes`."""
    table: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    definition = make_runtime(DEFINITION, graph)
    frames = definition.features(sound)
    expected: Trace | None = None
    for runtime in _runtimes(graph, names, skipped, progress):
        begin = time.perf_counter()
        trace = runtime.run_features(frames)
        seconds = time.perf_counter() - begin
        expected = expected or trace
        table.append(asdict(_net_row(runtime, trace, expected, seconds)))
    return {"graph": graph.id, "scheme": graph.scheme, "rows": table, "skipped": skipped}


def _net_row(runtime: Runtime[NetGraph], trace: Trace, expected: Trace, seconds: float) -> NetRow:
    steps = len(trace.logits)
    return NetRow(
        runtime.name, steps, sum(a.size for _, a in expected.arrays()), sum(expected.differing(trace).values()),
        expected.first_difference(trace, runtime.graph.frames_per_step), round(seconds / max(1, steps) * 1e6, 2),
        runtime.file_bytes, runtime.arena_bytes,
    )  # fmt: skip


def _run(runtime: Runtime[Graph], pcm: Int16, stream: Int16) -> _Run:
    """Every clip from reset, then the stream from reset."""
    clips = []
    for clip in pcm:
        runtime.reset()
        clips.append(runtime.run(clip))
    runtime.reset()
    frames = runtime.features(stream)
    begin = time.perf_counter()
    trace = runtime.run_features(frames)
    return _Run(clips, trace, time.perf_counter() - begin)


def _row(runtime: Runtime[Graph], run: _Run, definition: _Run, truth: Any) -> RuntimeRow:
    g = runtime.graph
    pairs = [*zip(definition.clips, run.clips, strict=True), (definition.stream, run.stream)]
    score = score_clips(np.stack([t.logits for t in run.clips]), truth, g.labels, g.decision.clip_steps)
    events = [set(detect(r.stream.posteriors, g.decision)) for r in (definition, run)]
    steps = len(run.stream.logits)
    return RuntimeRow(
        runtime.name, round(score.accuracy, 5), len(truth), sum(len(t.logits) for _, t in pairs),
        sum(a.size for _, t in pairs for _, a in t.arrays()), sum(sum(d.differing(t).values()) for d, t in pairs),
        len(events[0] ^ events[1]), definition.stream.first_difference(run.stream, g.frames_per_step),
        round(run.seconds / max(1, steps) * 1e6, 2), runtime.file_bytes, runtime.arena_bytes,
    )  # fmt: skip
