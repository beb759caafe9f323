"""Whichever TFLite interpreter is installed: ai-edge-litert, else tflite-runtime (32-bit Raspberry Pi), else TensorFlow."""

from __future__ import annotations

from typing import Any

from edgernn.runtimes._tflite import InterpreterRuntime, any_interpreter


class AnyTfliteRuntime(InterpreterRuntime):
    """The exported step in the first interpreter found; `package` tells which that was."""

    name = "tflite"

    def _interpreter(self, data: bytes) -> Any:
        self.package, module = any_interpreter()
        return module.Interpreter(model_content=data, num_threads=1)


RUNTIME = AnyTfliteRuntime
