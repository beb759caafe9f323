"""Sound on standard input: raw 16-bit PCM, or a 16-bit WAV file as other programs write it into a pipe."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from typing import cast

import numpy as np

from edgernn.errors import EdgernnError
from edgernn.signal.condition import Block
from edgernn.signal.containers import OPEN_END, check_rate

NAME = "standard input"
_BLOCK_BYTES = 1 << 17
_PCM, _EXTENSIBLE = 1, 0xFFFE
#: how other files begin
_OTHERS = {
    b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"RIFX": "RIFX", b"RF64": "RF64", b"riff": "W64", b"FORM": "AIFF",
    b".snd": "AU", b"caff": "CAF",
}  # fmt: skip
_REMEDY = "`-` takes raw 16-bit PCM or a 16-bit WAV: give the file's name instead, or decode it: `ffmpeg -i FILE -f s16le -`"


def pipe_blocks(raw_rate: int, channels: int) -> tuple[int, Iterator[Block]]:
    """(Hz, blocks [frames, channels]). A WAV header's rate and channels count more than those that were given."""
    pipe = _Pipe(cast(io.BufferedReader, sys.stdin.buffer))
    magic = pipe.peek(12)
    if magic[:4] == b"RIFF" and magic[8:12] == b"WAVE":
        rate, channels, length = _wav_header(pipe)
        return rate, pipe.frames(channels, length)
    other = next((name for start, name in _OTHERS.items() if magic.startswith(start)), None)
    if other:
        raise EdgernnError(f"{NAME} holds a file of the format {other}; {_REMEDY}")
    return raw_rate, pipe.frames(channels, None)


class _Pipe:
    """Bytes as they come, some of them looked at before they are taken."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._ahead = file, b""

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end; they stay."""
        while len(self._ahead) < count and (data := self._file.read1(_BLOCK_BYTES)):
            self._ahead += data
        return self._ahead[:count]

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        found = self.peek(count)
        if len(found) < count:
            raise EdgernnError(f"{NAME} ends within a WAV header")
        self._ahead = self._ahead[count:]
        return found

    def some(self) -> bytes:
        """Whatever is there, so that a live pipe is not delayed; empty at the end."""
        found, self._ahead = self._ahead, b""
        return found or self._file.read1(_BLOCK_BYTES)

    def frames(self, channels: int, length: int | None) -> Iterator[Block]:
        """Blocks of whole frames; `length` bytes are promised. An incomplete last frame is dropped."""
        size, rest, left = 2 * channels, b"", length
        while (left is None or left > 0) and (data := self.some()):
            if left is not None:
                data = data[:left]
                left -= len(data)
            data = rest + data
            whole = len(data) // size * size
            rest = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], "<i2").astype(np.int16).reshape(-1, channels)
        if left:
            raise EdgernnError(f"{NAME} is truncated: its WAV header promises {length} bytes of samples, {left} are missing")


def _wav_header(pipe: _Pipe) -> tuple[int, int, int | None]:
    """(Hz, channels, bytes of samples or None: to the end) of a RIFF header; the pipe then stands at the samples."""
    pipe.take(12)
    rate = channels = 0
    while True:
        name, length = struct.unpack("<4sI", pipe.take(8))
        if name == b"data":
            break
        content = pipe.take(length + (length & 1))
        if name == b"fmt " and length >= 16:
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            if kind not in (_PCM, _EXTENSIBLE) or bits != 16:
                raise EdgernnError(f"{NAME} holds a WAV file whose samples are not 16-bit PCM; {_REMEDY}")
    if not channels:
        raise EdgernnError(f"{NAME} holds a WAV file that does not say its format; {_REMEDY}")
    check_rate(NAME, rate)
    return rate, channels, length if 0 < length < OPEN_END else None
