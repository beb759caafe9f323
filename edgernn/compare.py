"""The same graph in several runtimes, side by side: bits that differ from the definition, speed, size, what the task adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.measure import snr_db
from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError
from edgernn.runtimes import Runtime, make_runtime, runtime_names
from edgernn.tasks.base import Material

Int16 = NDArray[np.int16]
Progress = Callable[[str, int, int], None]
DEFINITION = "numpy"
QDQ_LEAST_DB = 20.0  #: below this the optimised QDQ model is of no use


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


# The QDQ form ---------------------------------------------------------------------------


def qdq_distance(g: NetGraph, weight_bits: int = 8, steps: int = 500) -> dict[str, float]:
    """SNR in dB of the QDQ form's logits in ONNX Runtime against the integer model's, both with their own carried state.

    `as_written` runs the file's operators; `optimised` lets ONNX Runtime rewrite them, which may narrow int16 operands of
    matrix products to int8. The stream is noise with the mean, spread and slow movement of normalised features.
    """
    from edgernn.export.onnx_qdq import form_name
    from edgernn.runtimes.onnx import OnnxRuntime

    frames, form = _noise(g, steps * g.frames_per_step), form_name(weight_bits)
    exact = make_runtime(DEFINITION, g).run_features(frames).logits
    levels = {"as_written": "disable_all", "optimised": "enable_all"}
    runs = {name: OnnxRuntime(g, level=level, form=form).run_features(frames) for name, level in levels.items()}
    return {name: round(snr_db(exact, trace.logits), 2) for name, trace in runs.items()}


def qdq_warning(distance: dict[str, float], weight_bits: int) -> str | None:
    """What to tell a user whose CPU spoils the optimised QDQ model; None where it does not."""
    if distance["optimised"] >= QDQ_LEAST_DB or distance["as_written"] < QDQ_LEAST_DB:
        return None
    cure = "" if weight_bits == 7 else "export with --qdq-bits 7, or "
    return (
        f"ONNX Runtime's optimiser leaves {distance['optimised']:g} dB of the QDQ model's {distance['as_written']:g} dB here: "
        "its 8-bit products saturate at 16 bits on x86 with AVX2 but without VNNI; "
        f"{cure}run it at graph optimisation level ORT_DISABLE_ALL"
    )


def _noise(g: NetGraph, frames: int) -> Int16:
    """Features [frames, bands]: white noise through a one-pole filter, variance 1."""
    white = np.random.default_rng(0).normal(size=(frames, g.bands))
    for t in range(1, frames):
        white[t] = 0.6 * white[t - 1] + 0.8 * white[t]
    value = g.values[g.input]
    return np.clip(np.rint(white / value.step), -value.largest, value.largest - 1).astype(np.int16)
