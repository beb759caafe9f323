"""How much memory TFLM needs for a model: tried out in the real interpreter, in a child process.

The interpreter's own figure of its allocations leaves out what it needs only while it prepares, and with too small an
arena it writes past the end. So a child tries smaller and smaller arenas, one invocation each, until one fails or ends it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

GRAIN = 16
_START = 32 * 1024
_FINER = 16  # each pass tries steps so many times finer
_LARGEST = 4 * 1024 * 1024
#: reads a model from standard input; prints every size that works, from argv[1] down in steps of argv[2]
_CHILD = """
import sys
from tflite_micro import runtime
model, size, grain = sys.stdin.buffer.read(), int(sys.argv[1]), int(sys.argv[2])
while size > 0:
    runtime.Interpreter.from_bytes(model, arena_size=size).invoke()
    print(size, flush=True)
    size -= grain
"""


def has_tflm() -> bool:
    """Whether the package tflite-micro is installed; it exists for Linux on x86-64 alone."""
    return importlib.util.find_spec("tflite_micro") is not None


def arena_bytes(model: bytes) -> int | None:
    """Bytes of the smallest arena, a multiple of 16, in which TFLM runs the model on this host; None without tflite-micro.

    A 32-bit core needs less, since pointers are half as long.
    """
    if not has_tflm():
        return None
    start = _START
    while (size := _smallest(model, start, start // _FINER)) is None and start < _LARGEST:
        start *= 4
    grain = start // _FINER
    while size is not None and grain > GRAIN:
        grain = max(GRAIN, grain // _FINER)
        size = _smallest(model, size, grain)
    return size


def _smallest(model: bytes, start: int, grain: int) -> int | None:
    command = [sys.executable, "-c", _CHILD, str(start), str(grain)]
    done = subprocess.run(command, input=model, capture_output=True, check=False)
    sizes = done.stdout.split()
    return int(sizes[-1]) if sizes else None
