"""What the header of a sound file promises, against what is there.

libsndfile shortens a cut file without a word, and takes a data size of 0 (a recorder that was killed) for an empty file.
So the headers of the containers that state a length are read here: RIFF, RIFX, RF64, W64, AIFF, AU, CAF; MP3 by its frames,
Ogg by the flag on its last page. (FLAC states its length too, and libsndfile tells it.)
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgernn.errors import EdgernnError

LEAST_RATE, MOST_RATE = 1000, 768_000  #: Hz that a recording may claim
OPEN_END = 0x7FFFF000  #: programs that write to a pipe leave such a length, or a greater one: the data ends with the file
_GUID = 16
_TAIL = 1 << 16  #: an Ogg page is shorter


@dataclass(frozen=True)
class Samples:
    """Where a header says its samples lie. All in bytes but rate, in Hz (0: not stated here)."""

    field: int  #: where the length is written
    form: str  #: how, as `struct` has it
    offset: int  #: added to the length that is written
    begin: int
    length: int | None  #: None: to the end of the file
    rate: int = 0
    outer: bool = False  #: bytes 4 to 8 state the length of the whole, in the same form


def check_rate(name: str, rate: int) -> None:
    """A header may claim anything."""
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise EdgernnError(
            f"{name} claims {rate} Hz; sound has {LEAST_RATE} to {MOST_RATE} Hz: its header is damaged, record it again"
        )


def opened(path: Path) -> BinaryIO:
    """The file, with its length set right where the header says 0; truncated or of an absurd rate: EdgernnError."""
    file = path.open("rb")
    try:
        found = _samples(file)
        if found is not None:
            return _checked(path, file, found)
        _check_coded(path, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _checked(path: Path, file: BinaryIO, found: Samples) -> BinaryIO:
    size = path.stat().st_size
    there = max(0, size - found.begin)
    if found.rate:
        check_rate(str(path), found.rate)
    if found.length is not None and found.length > there:
        raise EdgernnError(
            f"{path} is truncated: its header promises {found.length} bytes of samples, {there} are there; copy it again"
        )
    file.seek(0)
    parts = []
    if found.length == 0 and there:
        limit = OPEN_END - 1 if struct.calcsize(found.form) == 4 else 1 << 62
        parts.append((found.field, struct.pack(found.form, min(there, limit) - found.offset)))
    if not found.length and found.outer:
        parts.append((4, struct.pack(found.form, min(size - 8, OPEN_END))))
    return io.BufferedReader(_Patched(file, parts)) if parts else file


class _Patched(io.RawIOBase):
    """A file in which some bytes, (where, what), read as others."""

    def __init__(self, file: BinaryIO, parts: list[tuple[int, bytes]]) -> None:
        self._file, self._bytes = file, {at + i: byte for at, value in parts for i, byte in enumerate(value)}

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As of the file, with the bytes put in."""
        begin = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for at, byte in self._bytes.items():
            if 0 <= at - begin < len(data):
                data[at - begin] = byte
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


# Headers ---------------------------------------------------------------------------


def _samples(file: BinaryIO) -> Samples | None:
    """Where the samples lie; None for a container that is not one of chunks, or that has no samples."""
    readers: dict[bytes, Callable[[BinaryIO], Samples | None]] = {
        b"RIFF": lambda f: _riff(f, "<"), b"RIFX": lambda f: _riff(f, ">"), b"RF64": lambda f: _riff(f, "<"),
        b"BW64": lambda f: _riff(f, "<"), b"riff": _w64, b"FORM": _aiff, b".snd": _au, b"caff": _caf,
    }  # fmt: skip
    reader = readers.get(file.read(4))
    try:
        return reader(file) if reader else None
    except struct.error:
        return None  # it ends within its header, and libsndfile says so


def _take(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _chunks(file: BinaryIO, begin: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its length is written, length) of each chunk; the file stands at the chunk's content."""
    at, head = begin, 4 + struct.calcsize(form)
    while True:
        file.seek(at)
        header = file.read(head)
        if len(header) < head:
            return
        (length,) = struct.unpack(form, header[4:])
        yield header[:4], at + 4, length
        at += head + length + (length & 1)


def _riff(file: BinaryIO, order: str) -> Samples | None:
    rate, long_length = 0, None
    for name, field, length in _chunks(file, 12, order + "I"):
        if name == b"ds64":
            _, long_length = _take(file, "<QQ")
        elif name == b"fmt ":
            _, _, rate = _take(file, order + "HHI")
            check_rate(file.name, rate)
        elif name == b"data":
            stated: int | None = length
            if length == 0xFFFFFFFF and long_length is not None:
                stated = long_length
            elif length >= OPEN_END:
                stated = None
            return Samples(field, order + "I", 0, field + 4, stated, rate, outer=True)
    return None


def _w64(file: BinaryIO) -> Samples | None:
    """Sony's Wave64: 16-byte names, 64-bit lengths that count their own header, chunks at multiples of 8."""
    at = 40
    while True:
        file.seek(at)
        header = file.read(_GUID + 8)
        if len(header) < _GUID + 8:
            return None
        (length,) = struct.unpack("<Q", header[_GUID:])
        if header[:4] == b"data":
            return Samples(at + _GUID, "<Q", -24, at + 24, max(0, length - 24))
        at += max(24, (length + 7) // 8 * 8)


def _aiff(file: BinaryIO) -> Samples | None:
    for name, field, length in _chunks(file, 12, ">I"):
        if name == b"SSND":
            # two words, offset and block size, stand before the samples and count
            return Samples(field, ">I", -8, field + 12, max(0, length - 8) if length < OPEN_END else None, outer=True)
    return None


def _au(file: BinaryIO) -> Samples:
    begin, length, _, rate = _take(file, ">IIII")
    return Samples(8, ">I", 0, begin, None if length == 0xFFFFFFFF else length, rate)


def _caf(file: BinaryIO) -> Samples | None:
    for name, field, length in _chunks(file, 8, ">q"):
        if name == b"data":
            # a word of edits stands before the samples and counts
            return Samples(field, ">q", -4, field + 12, None if length < 0 else max(0, length - 4))
        if length < 0:
            return None
    return None


# Coded sound ---------------------------------------------------------------------------


def _check_coded(path: Path, file: BinaryIO) -> None:
    file.seek(0)
    magic = file.read(4)
    if magic == b"OggS":
        _check_ogg(path, file)
    elif magic[:3] == b"ID3" or (len(magic) > 1 and magic[0] == 0xFF and magic[1] & 0xE6 == 0xE2):
        _check_mp3(path, file)


def _check_ogg(path: Path, file: BinaryIO) -> None:
    file.seek(max(0, path.stat().st_size - 2 * _TAIL))
    tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        complete = False
    else:
        sizes = tail[last + 27 : last + 27 + tail[last + 26]]
        complete = bool(tail[last + 5] & 4) and len(tail) >= last + 27 + len(sizes) + sum(sizes)
    if not complete:
        raise EdgernnError(f"{path} is truncated: its last Ogg page is not the end of a stream; copy it again")


_MP3_KBITS = {  # version 1 (True) or 2 and 2.5: Layer III, by index
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _check_mp3(path: Path, file: BinaryIO) -> None:
    """Walk the frames: one that ends behind the file's end, or fewer than the Xing header counts, is a cut file."""
    size, at = path.stat().st_size, _behind_id3(file)
    promised = _xing_frames(file, at)
    frames = -1 if promised is not None else 0  # the frame with the Xing header is not counted
    while (length := _mp3_frame(file, at)) and at < size:
        at += length
        frames += 1
    if at > size or (promised is not None and frames < promised):
        raise EdgernnError(f"{path} is truncated: its MP3 frames end after {frames}{f' of {promised}' if promised else ''}")


def _behind_id3(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)


def _mp3_frame(file: BinaryIO, at: int) -> int:
    """Bytes of the Layer III frame at `at`; 0 where none begins."""
    file.seek(at)
    head = file.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return 0
    bits = 1000 * _MP3_KBITS[version == 3][kbits]
    return (144 if version == 3 else 72) * bits // _MP3_RATES[version][rate] + (head[2] >> 1 & 1)


def _xing_frames(file: BinaryIO, at: int) -> int | None:
    """How many frames the encoder counted, where it said so in the first one."""
    file.seek(at)
    head = file.read(200)
    for name in (b"Xing", b"Info"):
        found = head.find(name)
        if found > 0 and len(head) >= found + 12 and head[found + 7] & 1:
            return int.from_bytes(head[found + 8 : found + 12], "big")
    return None
