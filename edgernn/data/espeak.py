"""espeak-ng through ctypes, always in a process of its own.

The library keeps state from one utterance to the next (echo buffers, random noise of breathy voices), so the
same list of jobs gives the same bytes only in a fresh process: `speak` and `phonemes` start one.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

import edgernn
from edgernn.errors import EdgernnError, needs_extra
from edgernn.signal.audio import Int16

RATE = 22050  # Hz, of everything espeak-ng synthesises
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_SPEED, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_QUIET = 60  # of 200; the loudest variants clip at the default 100


@dataclass(frozen=True)
class Job:
    """One utterance. speed: words a minute; pitch and its range: 0 to 99, espeak-ng's default is 50."""

    voice: str  # language, or language+variant: "en-us+f2"
    text: str
    speed: int = 175
    pitch: int = 50
    range: int = 50


def data_path() -> Path:
    """The folder of espeak-ng's voices. Package missing: EdgernnError with the command that installs it."""
    return Path(_loader().get_data_path())


def speak(jobs: Iterable[Job]) -> Iterator[Int16]:
    """int16 [n] at RATE Hz for each job, in order; equal jobs, equal bytes. Unknown voice: EdgernnError."""
    yield from (np.frombuffer(data, np.int16) for data in _run("speak", [astuple(job) for job in jobs]))


def phonemes(texts: Iterable[str], voice: str) -> list[str]:
    """espeak-ng's phoneme mnemonics of each text, as `voice` says it, stress marks included."""
    return [data.decode() for data in _run("phonemes", [[voice, text] for text in texts])]


def _loader() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise needs_extra("synthetic speech needs espeak-ng", "synthetic") from error
    return espeakng_loader


def _run(task: str, jobs: list[Any]) -> Iterator[bytes]:
    _loader()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(edgernn.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as work, tempfile.TemporaryFile() as errors:
        json.dump(jobs, work)
        work.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, task],
            env=environment,
            stdin=work,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        try:
            for _ in jobs:
                header = process.stdout.read(4)
                if len(header) < 4:
                    break
                yield process.stdout.read(struct.unpack("<I", header)[0])
            if process.wait() != 0 or len(header) < 4:
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                reason = lines[-1] if lines else f"exit code {process.returncode}"
                raise EdgernnError(f"espeak-ng failed: {reason}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


# In the process of its own ---------------------------------------------------------------------------


class _Library:
    def __init__(self) -> None:
        loader = _loader()
        self._c = ctypes.CDLL(loader.get_library_path())
        self._c.espeak_TextToPhonemes.restype = ctypes.c_char_p
        number, pointer = ctypes.c_uint, ctypes.c_void_p
        text = (ctypes.c_char_p, ctypes.c_size_t)
        self._c.espeak_Synth.argtypes = [*text, number, ctypes.c_int, number, number, pointer, pointer]
        rate = self._c.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(loader.get_data_path()), _DONT_EXIT)
        if rate != RATE:
            raise SystemExit(f"espeak-ng could not start (sample rate {rate})")
        self._c.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else rough and breathy voices follow the clock
        self._chunks: list[bytes] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, pointer)
        self._callback = callback(self._collect)  # kept: the library holds only its address
        self._c.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def _voice(self, name: str) -> None:
        if self._c.espeak_SetVoiceByName(name.encode()) != 0:
            raise SystemExit(f"there is no voice {name!r}; use a language code such as en-us, de or fr")

    def speak(self, voice: str, text: str, speed: int, pitch: int, spread: int) -> bytes:
        self._voice(voice)
        for parameter, value in ((_SPEED, speed), (_VOLUME, _QUIET), (_PITCH, pitch), (_RANGE, spread)):
            self._c.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        data = text.encode() + b"\0"
        self._c.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        return b"".join(self._chunks)

    def phonemes(self, voice: str, text: str) -> bytes:
        self._voice(voice)
        pointer = ctypes.c_char_p(text.encode())
        parts = []
        while pointer.value:  # one clause a call; the library moves the pointer
            parts.append(self._c.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, 0) or b"")
        return b" ".join(parts)


def _main(task: str, source: IO[str], sink: IO[bytes]) -> None:
    library = _Library()
    for job in json.load(source):
        data = getattr(library, task)(*job)
        sink.write(struct.pack("<I", len(data)) + data)
    sink.flush()


if __name__ == "__main__":
    _main(sys.argv[1], sys.stdin, sys.stdout.buffer)
