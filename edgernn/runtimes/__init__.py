"""Runtimes of the quantized model, one file each: `numpy` is the definition, the others must equal it bit for bit."""

from __future__ import annotations

import importlib
import pkgutil

from edgernn.denoise.graph import DenoiseGraph
from edgernn.errors import EdgernnError
from edgernn.runtimes._base import Denoiser, GraphT, Runtime, Trace


def runtime_names() -> list[str]:
    """Every runtime that has a file here."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def make_runtime(name: str, graph: GraphT) -> Runtime[GraphT]:
    """The graph in the named runtime; `tflite-runtime` and `tflite_runtime` are one."""
    name = name.replace("-", "_")
    if name not in runtime_names():
        raise EdgernnError(f"unknown runtime {name!r}; known: {', '.join(runtime_names())}")
    runtime: Runtime[GraphT] = importlib.import_module(f"{__name__}.{name}").RUNTIME(graph)
    return runtime


def make_denoiser(name: str, graph: DenoiseGraph) -> Denoiser:
    """The denoiser in a runtime that goes from sound to sound; the others run its net alone."""
    runtime = make_runtime(name, graph)
    if not isinstance(runtime, Denoiser):
        raise EdgernnError(f"the runtime {name} runs a denoiser's net, not its signal path; use numpy or c")
    return runtime


__all__ = ["Denoiser", "Runtime", "Trace", "make_denoiser", "make_runtime", "runtime_names"]
