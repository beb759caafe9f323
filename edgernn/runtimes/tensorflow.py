"""TensorFlow's own Lite interpreter, `tf.lite.Interpreter`."""

from __future__ import annotations

from typing import Any

from edgernn.runtimes._tflite import InterpreterRuntime, interpreter_module


class TensorFlowRuntime(InterpreterRuntime):
    """The exported step in tf.lite."""

    name = "tensorflow"

    def _interpreter(self, data: bytes) -> Any:
        return interpreter_module("tensorflow").Interpreter(model_content=data, num_threads=1)


RUNTIME = TensorFlowRuntime
