"""The package tflite-runtime: TensorFlow Lite as small boards with Linux have it, the 32-bit Raspberry Pi among them.

Exporting needs ai-edge-litert, which does not exist for 32 bits: give the file, exported elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgernn.errors import EdgernnError
from edgernn.runtimes._tflite import InterpreterRuntime, interpreter_module


class TfliteRuntime(InterpreterRuntime):
    """The exported step in tflite-runtime."""

    name = "tflite_runtime"

    def _interpreter(self, data: bytes) -> Any:
        if int(np.__version__.split(".")[0]) >= 2:
            raise EdgernnError(
                f"tflite-runtime was built for NumPy 1 and NumPy {np.__version__} is installed; "
                "use an environment of its own: pip install 'numpy<2' tflite-runtime"
            )
        return interpreter_module("tflite_runtime").Interpreter(model_content=data, num_threads=1)


RUNTIME = TfliteRuntime
