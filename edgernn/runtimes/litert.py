"""LiteRT (the package ai-edge-litert), TensorFlow Lite's successor."""

from __future__ import annotations

from typing import Any

from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.runtimes._tflite import InterpreterRuntime, interpreter_module

#: names of the kernels to choose from: the default ones with XNNPACK, the same without it, the reference ones
RESOLVERS = ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF")


class LiteRTRuntime(InterpreterRuntime):
    """The exported step in LiteRT; `resolver` is one of RESOLVERS, `file` a .tflite of this graph instead of a new one."""

    name = "litert"

    def __init__(self, graph: NetGraph, file: bytes | None = None, resolver: str = "AUTO") -> None:
        if resolver not in RESOLVERS:
            raise EdgernnError(f"unknown resolver {resolver!r}; known: {', '.join(RESOLVERS)}")
        self._resolver = resolver
        super().__init__(graph, file)

    def _interpreter(self, data: bytes) -> Any:
        module = interpreter_module("ai_edge_litert")
        kind = module.OpResolverType[self._resolver]
        return module.Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)


RUNTIME = LiteRTRuntime
