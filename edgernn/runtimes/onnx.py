"""The exported integer ONNX graph in ONNX Runtime, one thread, at any of its optimisation levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError, needs_extra
from edgernn.exports._onnx_file import metadata_of, read
from edgernn.exports.metadata import FORM_KEY, GRAPH_ID_KEY, input_ports, output_ports
from edgernn.exports.onnx import integer_model
from edgernn.exports.onnx_qdq import qdq_model
from edgernn.runtimes._base import Int16
from edgernn.runtimes._step import State, StepRuntime

LEVELS = ("disable_all", "enable_basic", "enable_extended", "enable_layout", "enable_all")
#: the exports of one time step that take and give the graph's integers
FORMS: Mapping[str, Callable[[NetGraph], bytes]] = {
    "integer": integer_model, "qdq": qdq_model, "qdq7": lambda g: qdq_model(g, 7),
}  # fmt: skip


class OnnxRuntime(StepRuntime):
    """A step is one call of the session.

    path: the exported file (None: export now); level: how far ONNX Runtime may rewrite the graph, one of LEVELS; form:
    one of FORMS, of which only "integer" keeps the bits. A file that is damaged, of another form or exported from another
    graph is an EdgernnError. file_bytes: size of the model.
    """

    name = "onnx"

    def __init__(self, graph: NetGraph, path: Path | None = None, level: str = "enable_all", form: str = "integer") -> None:
        data = _checked(graph, path, form) if path else FORMS[form](graph)
        self.file_bytes = len(data)
        self._session = session(data, level, str(path or "the exported model"))
        self._outputs = [p.name for p in output_ports(graph)]
        super().__init__(graph)

    def step(self, frames: Int16, state: State) -> tuple[Int16, Int16, State]:
        """See StepRuntime."""
        ports, states = input_ports(self.graph), self.graph.states
        operands = [frames, *(state[s.read] for s in states)]
        feeds = {p.name: np.asarray(a, p.type.dtype)[None] for p, a in zip(ports, operands, strict=True)}
        logits, posteriors, *after = self._session.run(self._outputs, feeds)
        return logits.ravel(), posteriors.ravel(), {s.read: a[0] for s, a in zip(states, after, strict=True)}


def session(data: bytes, level: str = "enable_all", where: str = "the model") -> Any:
    """An ONNX Runtime session on one thread of the CPU; what it refuses is an EdgernnError that names `where`."""
    try:
        import onnxruntime
    except ImportError:
        raise needs_extra("the Python package onnxruntime is missing", "onnx") from None
    if level not in LEVELS:
        raise EdgernnError(f"unknown optimisation level {level!r}; known: {', '.join(LEVELS)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level.upper()}")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class for each of its status codes, with no base of their own
        raise EdgernnError(f"ONNX Runtime refuses {where}: {error}") from None


def _checked(graph: NetGraph, path: Path, form: str) -> bytes:
    """The file's bytes, once its checksum and the graph's id have been found right."""
    model = read(path)
    found = metadata_of(model)
    if found.get(GRAPH_ID_KEY) != graph.id:
        theirs = found.get(GRAPH_ID_KEY, "none")
        raise EdgernnError(f"{path} was exported from graph {theirs[:12]}, not from {graph.id[:12]}; export this graph")
    if found[FORM_KEY] != form:
        raise EdgernnError(f"{path} is the {found[FORM_KEY]} export, not the {form} one; give the other file of that export")
    return bytes(model.SerializeToString(deterministic=True))


RUNTIME = OnnxRuntime
