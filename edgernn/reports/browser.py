"""The model for the browser: the exported C and its task's harness, those of the host's simulator, compiled to WebAssembly."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError
from edgernn.reports.facts import Facts
from edgernn.runtimes.c import PREFIX
from edgernn.tasks import task_of
from firmware_export.emit import HOST_DRIVER, export_c
from targets.web import build_wasm

#: what the page calls
EXPORTS = ("sim_bytes", "sim_offset", "sim_reset", "sim_step", "sim_self_test")


@dataclass(frozen=True)
class Live:
    """A model that runs in the page. facts: what the page's script reads; script: the task's, see docs/report.md."""

    facts: dict[str, Any]
    script: str
    wasm: str


def live_model(run: Facts) -> Live:
    """The run's model, compiled; wasm: base64, empty where nothing here compiles it (the reason stands in run.missing)."""
    g, task = run.graph, run.task
    facts = {
        "name": run.name, "task": task.name, "id": g.id, "sample_rate": g.sample_rate, "step_samples": g.step_samples,
        "scores": g.scores, "labels": list(g.labels), "posteriors": g.posteriors, "latency_ms": g.latency_ms,
        "output": {"dtype": g.output.dtype, "width": g.output.width, "names": list(g.output.names)},
        "gives_sound": task.c.gives_sound, "marks": [{"score": i, "value": v} for i, v in task.live_marks(g)],
    }  # fmt: skip
    try:
        wasm = base64.b64encode(compiled(run)).decode()
    except EdgernnError as error:
        run.missing.append(f"nothing to try in the browser: {error}")
        wasm = ""
    return Live(facts, task.live_script(), wasm)


def compiled(run: Facts) -> bytes:
    """The WebAssembly module: a whole stream, as `edgernn.runtimes.c` calls it."""
    task = task_of(run.graph)
    with tempfile.TemporaryDirectory(prefix="edgernn-web-") as scratch:
        folder = Path(scratch)
        export_c(run.graph, folder, PREFIX)
        sources = [task.harness(), *(folder / name for name in task.c.sources)]
        return build_wasm(sources, [folder, HOST_DRIVER], EXPORTS)
