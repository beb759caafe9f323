"""Audio in and out: the project's one float <-> int16 conversion, and everything that opens a sound file.

Every sample inside edgernn is int16 mono; a float x in [-1, 1] and an int16 q are related by q = 32768 x.
Files are always read block by block, so a clip of one second and a recording of one day take the same way,
and `read_audio(path)` equals the joined blocks of `stream_audio(path)` sample for sample.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.errors import EdgernnError

Int16 = NDArray[np.int16]
Float32 = NDArray[np.float32]

SAMPLE_RATE = 16000
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
_FULL_SCALE = 32768
_BLOCK_FRAMES = 65536


def to_int16(x: NDArray[np.floating[Any]]) -> Int16:
    """clip(rint(32768 x), -32768, 32767), any shape; ties to even. NaN or infinity: EdgernnError."""
    if not np.all(np.isfinite(x)):
        raise EdgernnError("the audio contains NaN or infinite samples; export it again from its source")
    return np.clip(np.rint(x * x.dtype.type(_FULL_SCALE)), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def to_float(q: Int16) -> Float32:
    """q / 32768 as float32 in [-1, 1), exact, any shape; to_int16(to_float(q)) == q."""
    return q.astype(np.float32) / np.float32(_FULL_SCALE)


def write_wav(path: str | Path, pcm: Int16, rate: int = SAMPLE_RATE) -> None:
    """Write mono PCM16 [n] at `rate` Hz; the file appears whole or not at all."""
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise EdgernnError(f"cannot write {path}: needs int16 mono [n], got {pcm.dtype} {list(pcm.shape)}")
    with replacing(Path(path)) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())


def read_audio(path: str | Path, rate: int = SAMPLE_RATE) -> Int16:
    """A whole file as int16 mono [n] at `rate` Hz: wav, flac, ogg, opus, mp3, any rate, channels averaged.

    Mono PCM16 at `rate` keeps its bits. Missing, truncated, empty, NaN or not audio: EdgernnError.
    """
    return np.concatenate(list(stream_audio(path, rate)))


def stream_audio(
    source: str | Path, rate: int = SAMPLE_RATE, *, raw_rate: int = SAMPLE_RATE, channels: int = 1
) -> Iterator[Int16]:
    """Blocks of int16 mono at `rate` Hz in constant memory, from a file or, for "-", standard input.

    Standard input carries headerless little-endian int16 frames, `channels` interleaved, at `raw_rate` Hz;
    its blocks arrive as soon as bytes do, and an incomplete last frame is dropped. Errors as in `read_audio`.
    """
    name = "standard input" if str(source) == "-" else str(source)
    if rate < 1 or raw_rate < 1 or channels < 1:
        raise EdgernnError(
            f"cannot read {name}: sample rates and channels must be positive, "
            f"got rate {rate}, raw rate {raw_rate}, channels {channels}"
        )
    if str(source) == "-":
        source_rate, blocks = raw_rate, _pipe_blocks(channels)
    else:
        source_rate, blocks = _open(Path(source))
    total = 0
    for block in _resampled(blocks, source_rate, rate, name):
        total += len(block)
        if len(block):
            yield block
    if total == 0:
        raise EdgernnError(f"{name} holds no samples; record it again")


Block = Int16 | Float32  # [frames, channels]
Blocks = Iterator[Block]


def _pipe_blocks(channels: int) -> Blocks:
    frame_bytes, rest = 2 * channels, b""
    pipe = cast(io.BufferedReader, sys.stdin.buffer)
    while data := pipe.read1(_BLOCK_FRAMES):  # read1: whatever is there, so that a live pipe is not delayed
        data = rest + data
        whole = len(data) // frame_bytes * frame_bytes
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.int16).reshape(-1, channels)


def _open(path: Path) -> tuple[int, Blocks]:
    """(rate in Hz, blocks) of a file, after the checks that need only its header."""
    if not path.is_file():
        raise EdgernnError(f"{path} is not a file; check the path")
    if path.stat().st_size == 0:
        raise EdgernnError(f"{path} is empty (0 bytes); record it again")
    _refuse_truncated_wav(path)
    try:
        import soundfile
    except ImportError:
        return _open_wave(path)
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise EdgernnError(f"{path} is not audio that can be read (wav, flac, ogg, opus, mp3): {error.error_string}") from error
    return file.samplerate, _soundfile_blocks(path, file, soundfile.LibsndfileError)


def _soundfile_blocks(path: Path, file: Any, library_error: type[Exception]) -> Blocks:
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    seen = 0
    with file:
        while True:
            try:
                block = file.read(_BLOCK_FRAMES, dtype=dtype, always_2d=True)
            except library_error as error:
                raise EdgernnError(f"{path} is damaged after {seen} frames: {error}") from error
            if not len(block):
                break
            seen += len(block)
            yield block


def _open_wave(path: Path) -> tuple[int, Blocks]:
    """Plain 16-bit PCM WAV by the standard library alone."""
    try:
        file = wave.open(str(path), "rb")  # noqa: SIM115 (the block generator closes it)
    except (wave.Error, EOFError) as error:
        raise EdgernnError(
            f"{path} is not a PCM WAV file; install the reader of other formats with pip install soundfile"
        ) from error
    if file.getsampwidth() != 2:
        raise EdgernnError(f"{path} has {8 * file.getsampwidth()}-bit samples; to read it: pip install soundfile")
    return file.getframerate(), _wave_blocks(file)


def _wave_blocks(file: wave.Wave_read) -> Blocks:
    with file:
        while data := file.readframes(_BLOCK_FRAMES):
            yield np.frombuffer(data, "<i2").astype(np.int16).reshape(-1, file.getnchannels())


def _refuse_truncated_wav(path: Path) -> None:
    """libsndfile silently shortens a cut WAV file, so its chunks are walked here."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            # Programs that write to a pipe leave a huge length: then the data ends with the file.
            if name == b"data" and size < file.tell() + length < 0x7FFFF000:
                raise EdgernnError(
                    f"{path} is truncated: its header promises {length} bytes of samples, {size - file.tell()} are there"
                )
            file.seek(length + (length & 1), os.SEEK_CUR)


def _resampled(blocks: Blocks, source_rate: int, rate: int, name: str) -> Iterator[Int16]:
    convert = _converter(source_rate, rate)
    try:
        for block in blocks:
            yield convert(block, False)
        yield convert(np.zeros((0, 1), np.float32), True)
    except EdgernnError as error:
        raise error if name in str(error) else EdgernnError(f"{name}: {error}") from error


def _converter(source_rate: int, rate: int) -> Callable[[Block, bool], Int16]:
    """convert(block [frames, channels], last) -> int16 mono [n]; it keeps the resampler's state."""
    if source_rate == rate:
        return _unchanged
    try:
        import soxr
    except ImportError as error:
        raise EdgernnError(f"resampling {source_rate} to {rate} Hz needs soxr: pip install soxr") from error
    stream = soxr.ResampleStream(source_rate, rate, 1, dtype="float32")
    return lambda block, last: to_int16(np.asarray(stream.resample_chunk(_mono(block), last=last)))


def _unchanged(block: Block, last: bool) -> Int16:
    if block.dtype == np.int16 and block.shape[1] == 1:
        return np.asarray(block[:, 0], np.int16)
    return to_int16(_mono(block))


def _mono(block: Block) -> Float32:
    x = to_float(np.asarray(block, np.int16)) if block.dtype == np.int16 else block
    return np.asarray(x.mean(axis=1), np.float32)
