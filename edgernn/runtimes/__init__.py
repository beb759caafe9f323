"""Runtimes of the quantized model, one file each: `numpy` is the definition, the others must equal it bit for bit."""

from __future__ import annotations

import pkgutil

from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError
from edgernn.extensions import folders, found_module
from edgernn.hostcc import cache_dir, host_compiler
from edgernn.runtimes._base import GraphT, Runtime

__path__ += folders("runtimes")


def runtime_names() -> list[str]:
    """Every runtime that has a file here."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def make_runtime(name: str, graph: GraphT) -> Runtime[GraphT]:
    """The graph in the named runtime; `tflite-runtime` and `tflite_runtime` are one."""
    name = name.replace("-", "_")
    if name not in runtime_names():
        raise EdgernnError(f"unknown runtime {name!r}; known: {', '.join(runtime_names())}")
    runtime: Runtime[GraphT] = found_module(__name__, name).RUNTIME(graph)
    return runtime


def fast_runtime() -> str:
    """The C runtime where this host can compile and keep what it compiled, else NumPy."""
    try:
        host_compiler()
        cache_dir()
    except EdgernnError:
        return "numpy"
    return "c"


__all__ = ["Runtime", "Trace", "fast_runtime", "make_runtime", "runtime_names"]
