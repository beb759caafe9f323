"""Audio in and out: the project's one float <-> int16 conversion, and everything that opens a sound file.

Every sample inside edgernn is int16 mono; a float x in [-1, 1] and an int16 q are related by q = 32768 x.
Files are always read block by block, so a clip of one second and a recording of one day take the same way,
and `read_audio(path)` equals the joined blocks of `stream_audio(path)` sample for sample.

What a recording was found to be (clipped, silent, of a lower rate) is said once by `edgernn/notes.py`, or left to whoever
passes a `Condition` to be filled.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.errors import EdgernnError, needs_extra
from edgernn.notes import note
from edgernn.signal import pipe
from edgernn.signal.condition import FULL_SCALE, Block, Condition
from edgernn.signal.containers import MOST_RATE, check_rate, opened

Int16 = NDArray[np.int16]
Float32 = NDArray[np.float32]
Blocks = Iterator[Block]

SAMPLE_RATE = 16000
#: endings of files that are taken for sound, in any case; `edgernn/data/recordings.py` applies them
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64")
MOST_CHANNELS = 1024  #: of raw sound
_BLOCK_FRAMES = 65536


def to_int16(x: NDArray[np.floating[Any]]) -> Int16:
    """clip(rint(32768 x), -32768, 32767), any shape; ties to even. NaN or infinity: EdgernnError."""
    if not np.all(np.isfinite(x)):
        raise EdgernnError("the audio contains NaN or infinite samples; export it again from its source")
    return np.clip(np.rint(x * x.dtype.type(FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(q: Int16) -> Float32:
    """q / 32768 as float32 in [-1, 1), exact, any shape; to_int16(to_float(q)) == q."""
    return q.astype(np.float32) / np.float32(FULL_SCALE)


def write_wav(path: str | Path, pcm: Int16, rate: int = SAMPLE_RATE) -> None:
    """Write mono PCM16 [n] at `rate` Hz; the file appears whole or not at all."""
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise EdgernnError(f"cannot write {path}: needs int16 mono [n], got {pcm.dtype} {list(pcm.shape)}")
    with replacing(Path(path)) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())


def resampled(pcm: Int16, source_rate: int, rate: int) -> Int16:
    """int16 [.., n] at `source_rate` Hz -> int16 [.., round(n * rate / source_rate)] at `rate` Hz."""
    if source_rate == rate:
        return pcm
    samples = round(pcm.shape[-1] * rate / source_rate)
    lines = [_line_resampled(line, source_rate, rate, samples) for line in pcm.reshape(-1, pcm.shape[-1])]
    return np.stack(lines).reshape(*pcm.shape[:-1], samples)


def _line_resampled(line: Int16, source_rate: int, rate: int, samples: int) -> Int16:
    convert = _converter(source_rate, rate)
    out = np.concatenate([convert(line[:, None], False), convert(np.zeros((0, 1), np.float32), True)])[:samples]
    return np.pad(out, (0, samples - len(out)))


def read_audio(path: str | Path, rate: int = SAMPLE_RATE, condition: Condition | None = None) -> Int16:
    """A whole file as int16 mono [n] at `rate` Hz: wav, flac, ogg, opus, mp3, aiff, any rate, channels averaged.

    Mono PCM16 at `rate` keeps its bits. Missing, truncated, empty, NaN or not audio: EdgernnError.
    """
    return np.concatenate(list(stream_audio(path, rate, condition=condition)))


def stream_audio(
    source: str | Path,
    rate: int = SAMPLE_RATE,
    *,
    raw_rate: int = SAMPLE_RATE,
    channels: int = 1,
    condition: Condition | None = None,
) -> Iterator[Int16]:
    """Blocks of int16 mono at `rate` Hz in constant memory, from a file or, for "-", standard input.

    Standard input carries headerless little-endian int16 frames, `channels` interleaved, at `raw_rate` Hz, or a WAV
    file of such; its blocks arrive as soon as bytes do, and an incomplete last frame is dropped. Errors as in `read_audio`.
    `condition` is filled with what was found; without one it is said at the end.
    """
    name = pipe.NAME if str(source) == "-" else str(source)
    if not (1 <= rate <= MOST_RATE and 1 <= raw_rate <= MOST_RATE and 1 <= channels <= MOST_CHANNELS):
        raise EdgernnError(
            f"cannot read {name}: sample rates must lie in 1..{MOST_RATE} and channels in 1..{MOST_CHANNELS}, "
            f"got rate {rate}, raw rate {raw_rate}, channels {channels}"
        )
    found = condition or Condition(name)
    source_rate, blocks = pipe.pipe_blocks(raw_rate, channels) if str(source) == "-" else _open(Path(source))
    found.name, found.rate, found.source_rate = name, rate, source_rate
    yield from _resampled(_taken(blocks, found), source_rate, rate, name)
    if not found.frames:
        raise EdgernnError(f"{name} holds no samples; record it again")
    if condition is None:
        for trouble in found.troubles():
            note(f"{name} {trouble}")


def _taken(blocks: Blocks, condition: Condition) -> Blocks:
    for block in blocks:
        condition.take(block)
        yield block


def _open(path: Path) -> tuple[int, Blocks]:
    """(rate in Hz, blocks) of a file, after the checks that need only its header."""
    if not path.is_file():
        raise EdgernnError(f"{path} is not a file; check the path")
    if path.stat().st_size == 0:
        raise EdgernnError(f"{path} is empty (0 bytes); record it again")
    try:
        file = opened(path)
    except OSError as error:
        raise EdgernnError(f"cannot read {path}: {error.strerror}") from None
    rate, blocks = _decoded(path, file)
    check_rate(str(path), rate)
    return rate, blocks


def _decoded(path: Path, file: BinaryIO) -> tuple[int, Blocks]:
    try:
        import soundfile
    except ImportError:
        return _open_wave(path, file)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        file.close()
        raise EdgernnError(
            f"{path} is not audio that can be read (wav, flac, ogg, opus, mp3, aiff, au, caf): {error.error_string}"
        ) from error
    return sound.samplerate, _soundfile_blocks(path, file, sound, soundfile.LibsndfileError)


def _soundfile_blocks(path: Path, file: BinaryIO, sound: Any, library_error: type[Exception]) -> Blocks:
    dtype = "int16" if sound.subtype == "PCM_16" else "float32"
    seen = 0
    with file, sound:
        while True:
            try:
                block = sound.read(_BLOCK_FRAMES, dtype=dtype, always_2d=True)
            except library_error as error:
                raise EdgernnError(f"{path} is damaged after {seen} frames: {error}") from error
            if not len(block):
                break
            seen += len(block)
            yield block
        if sound.format == "FLAC" and seen < sound.frames < 1 << 36:  # which a stream of unknown length exceeds
            raise EdgernnError(
                f"{path} is truncated: its header promises {sound.frames} frames, {seen} are there; copy it again"
            )


def _open_wave(path: Path, file: BinaryIO) -> tuple[int, Blocks]:
    """Plain 16-bit PCM WAV by the standard library alone."""
    try:
        sound = wave.open(file, "rb")  # noqa: SIM115 (the block generator closes it)
    except (wave.Error, EOFError) as error:
        raise needs_extra(f"{path} is not a PCM WAV file; other formats need soundfile", "audio") from error
    if sound.getsampwidth() != 2:
        raise needs_extra(f"{path} has {8 * sound.getsampwidth()}-bit samples, which need soundfile", "audio")
    return sound.getframerate(), _wave_blocks(file, sound)


def _wave_blocks(file: BinaryIO, sound: wave.Wave_read) -> Blocks:
    with file, sound:
        while data := sound.readframes(_BLOCK_FRAMES):
            yield np.frombuffer(data, "<i2").astype(np.int16).reshape(-1, sound.getnchannels())


def _resampled(blocks: Blocks, source_rate: int, rate: int, name: str) -> Iterator[Int16]:
    convert = _converter(source_rate, rate)
    try:
        for block in blocks:
            if len(out := convert(block, False)):
                yield out
        if len(out := convert(np.zeros((0, 1), np.float32), True)):
            yield out
    except EdgernnError as error:
        raise error if name in str(error) else EdgernnError(f"{name}: {error}") from error


def _converter(source_rate: int, rate: int) -> Callable[[Block, bool], Int16]:
    """convert(block [frames, channels], last) -> int16 mono [n]; it keeps the resampler's state."""
    if source_rate == rate:
        return _unchanged
    try:
        import soxr
    except ImportError as error:
        raise needs_extra(f"resampling {source_rate} to {rate} Hz needs soxr", "audio") from error
    stream = soxr.ResampleStream(source_rate, rate, 1, dtype="float32")
    return lambda block, last: to_int16(np.asarray(stream.resample_chunk(_mono(block), last=last)))


def _unchanged(block: Block, last: bool) -> Int16:
    if block.dtype == np.int16 and block.shape[1] == 1:
        return np.asarray(block[:, 0], np.int16)
    return to_int16(_mono(block))


def _mono(block: Block) -> Float32:
    x = to_float(np.asarray(block, np.int16)) if block.dtype == np.int16 else block
    return np.asarray(x.mean(axis=1), np.float32)
