"""Engines that keep state from one utterance to the next, each list of jobs in a process of its own.

`python -m edgernn.data.voices._child MODULE TASK` reads a JSON list of jobs from standard input. `MODULE.serve(TASK)` gives a
function from the fields of a job to bytes; each answer is written with its length before it.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import edgernn
from edgernn.errors import EdgernnError


def ask(module: str, task: str, jobs: Sequence[Sequence[Any]], engine: str) -> Iterator[bytes]:
    """The answers in order. A process that ends early is an EdgernnError with the last line it wrote. `engine`: its name."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(edgernn.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as work, tempfile.TemporaryFile() as errors:
        json.dump([list(job) for job in jobs], work)
        work.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, module, task],
            env=environment,
            stdin=work,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        header = b"none"
        try:
            for _ in jobs:
                header = process.stdout.read(4)
                if len(header) < 4:
                    break
                yield process.stdout.read(struct.unpack("<I", header)[0])
            if process.wait() != 0 or len(header) < 4:
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                raise EdgernnError(f"{engine} failed: {lines[-1] if lines else f'exit code {process.returncode}'}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _main(module: str, task: str, source: IO[str], sink: IO[bytes]) -> None:
    answer = importlib.import_module(module).serve(task)
    for job in json.load(source):
        data = answer(*job)
        sink.write(struct.pack("<I", len(data)) + data)
    sink.flush()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.stdin, sys.stdout.buffer)
