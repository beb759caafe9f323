"""Runtimes of the quantized model, one file each: `numpy` is the definition, the others must equal it bit for bit."""

from __future__ import annotations

import importlib
import pkgutil

from edgernn.errors import EdgernnError
from edgernn.graph import Graph
from edgernn.runtimes._base import Runtime, Trace


def runtime_names() -> list[str]:
    """Every runtime that has a file here."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def make_runtime(name: str, graph: Graph) -> Runtime:
    """The graph in the named runtime; `tflite-runtime` and `tflite_runtime` are one."""
    name = name.replace("-", "_")
    if name not in runtime_names():
        raise EdgernnError(f"unknown runtime {name!r}; known: {', '.join(runtime_names())}")
    runtime: Runtime = importlib.import_module(f"{__name__}.{name}").RUNTIME(graph)
    return runtime


__all__ = ["Runtime", "Trace", "make_runtime", "runtime_names"]
