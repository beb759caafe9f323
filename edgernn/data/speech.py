"""What is said: lines of a cast through their engines, at 16 kHz without silence around, and kept on disk.

A clip is kept under a hash of all it depends on, in the folder of compiled libraries (`$EDGERNN_CACHE`, else the user's cache
folder), so that a change of epochs, thresholds, or of the number of clips, does not speak again what was spoken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from edgernn.artifacts import replacing
from edgernn.data.cast import Line
from edgernn.data.engine import Engine
from edgernn.errors import EdgernnError
from edgernn.hostcc import cache_dir
from edgernn.notes import note
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16

_VERSION = 1  # of what is kept
_LONG_S = 60.0  # from here on the user is told how long it will take


def say(lines: Sequence[Line]) -> Iterator[Int16]:
    """int16 [n] at 16 kHz of each line, in order, no sample of it clipped; one without sound is an EdgernnError."""
    of_engine: dict[Engine, list[Line]] = {}
    for line in lines:
        of_engine.setdefault(line.engine, []).append(line)
    heard = {engine: _from_cache(engine, own) if engine.KEPT else _spoken(engine, own) for engine, own in of_engine.items()}
    for line in lines:
        yield next(heard[line.engine])


def trimmed(x: Float32) -> Float32:
    """Cut the ends that lie more than 40 dB under the peak, keeping 30 ms."""
    loud = np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max(initial=0.0))
    if not len(loud):
        return x[:0]
    margin = SAMPLE_RATE * 30 // 1000
    return x[max(0, loud[0] - margin) : loud[-1] + margin]


def _spoken(engine: Engine, lines: Sequence[Line]) -> Iterator[Int16]:
    """The vocal tract: said `tract` times slower and lower, played as much faster."""
    import soxr

    slowed = [replace(u, rate=u.rate / line.tract, pitch=u.pitch / line.tract) for line in lines if (u := line.utterance)]
    for line, pcm in zip(lines, engine.speak(slowed), strict=True):
        x = trimmed(np.asarray(soxr.resample(to_float(pcm), engine.sample_rate() * line.tract, SAMPLE_RATE), np.float32))
        if not len(x):
            said = line.utterance
            raise EdgernnError(f"{engine.name} says nothing for {said.text!r} in voice {said.voice}; spell it in letters")
        yield to_int16(x * np.float32(min(1.0, 0.99 / np.abs(x).max())))


# Kept on disk ---------------------------------------------------------------------------


def _from_cache(engine: Engine, lines: Sequence[Line]) -> Iterator[Int16]:
    folder = cache_dir() / "voices" / engine.name
    files = [folder / name[:2] / f"{name}.pcm" for name in _names(engine, lines)]
    lacking = [i for i, path in enumerate(files) if not _whole(path)]
    if engine.REMEMBERS and lacking:
        lacking = list(range(len(files)))
    unsaid = [lines[i] for i in lacking]
    _announce(engine, unsaid, folder)
    fresh = _spoken(engine, unsaid)
    keeping, missing = True, set(lacking)
    for i, path in enumerate(files):
        if i not in missing:
            yield np.fromfile(path, "<i2").astype(np.int16)
            continue
        pcm = next(fresh)
        keeping = keeping and _kept(path, pcm)
        yield pcm


def _names(engine: Engine, lines: Sequence[Line]) -> list[str]:
    """A hash each. Where an engine remembers, a line depends on those before it: all are named after the whole list."""
    shared = json.dumps([_VERSION, engine.name, engine.identity()])
    own = [json.dumps([*astuple(line.utterance), line.tract]) for line in lines]
    if engine.REMEMBERS:
        shared, own = shared + "".join(own), [str(i) for i in range(len(own))]
    common = hashlib.sha256(shared.encode())
    return [_with(common, text) for text in own]


def _with(common: hashlib._Hash, text: str) -> str:
    digest = common.copy()
    digest.update(text.encode())
    return digest.hexdigest()[:32]


def _whole(path: Path) -> bool:
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return size > 0 and size % 2 == 0


def _kept(path: Path, pcm: Int16) -> bool:
    """Whether it could be written; a disk without room costs time, no clip."""
    try:
        with replacing(path) as scratch:
            pcm.astype("<i2").tofile(scratch)
    except (OSError, EdgernnError) as error:
        note(f"what the voices say is not kept and will be spoken again next time: {error}")
        return False
    return True


def _announce(engine: Engine, lines: Sequence[Line], folder: Path) -> None:
    """Say that it will take long, before it does."""
    seconds = engine.SECONDS * sum(len(line.utterance.text.split()) for line in lines)
    if seconds > _LONG_S:
        note(
            f"{engine.name} speaks {len(lines):,} clips, about {seconds / 60:.0f} min of one core; they are kept "
            f"in {folder} for the next time"
        )
