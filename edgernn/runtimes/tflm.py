"""TensorFlow Lite Micro on this host: the package tflite-micro, the interpreter's reference kernels."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from edgernn.core.graph import NetGraph
from edgernn.errors import needs_extra
from edgernn.exports._arena import arena_bytes
from edgernn.runtimes._tflite import FileRuntime


class TFLMRuntime(FileRuntime):
    """The exported step in TFLM; `file` a .tflite of this graph instead of a new one."""

    name = "tflm"

    def __init__(self, graph: NetGraph, file: bytes | None = None) -> None:
        super().__init__(graph, file)

    @cached_property
    def arena_bytes(self) -> int:
        """Memory the interpreter needs on this 64-bit host; tried out, which takes about a second."""
        return arena_bytes(self._file) or 0

    def _load(self, data: bytes) -> None:
        try:
            from tflite_micro import runtime
        except ImportError:
            raise needs_extra("TFLM needs the package tflite-micro (Linux on x86-64)", "tflm") from None
        self._file = data
        self._net = runtime.Interpreter.from_bytes(data)

    def _invoke(self, operands: list[Any]) -> list[Any]:
        for index, array in enumerate(operands):
            self._net.set_input(array, index)
        self._net.invoke()
        return [self._net.get_output(index) for index in range(len(self._outputs))]


RUNTIME = TFLMRuntime
