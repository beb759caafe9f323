"""The package tflite-runtime: TensorFlow Lite as small boards with Linux have it, the 32-bit Raspberry Pi among them.

Exporting needs ai-edge-litert, which does not exist there: give the file, exported elsewhere.
"""

from __future__ import annotations

from typing import Any

from edgernn.runtimes._tflite import InterpreterRuntime, interpreter_module


class TfliteRuntime(InterpreterRuntime):
    """The exported step in tflite-runtime."""

    name = "tflite_runtime"

    def _interpreter(self, data: bytes) -> Any:
        return interpreter_module("tflite_runtime").Interpreter(model_content=data, num_threads=1)


RUNTIME = TfliteRuntime
