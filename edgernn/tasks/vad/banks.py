"""What training streams are mixed from, as band energies: talk, where it is speech, and noise. Made once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.data.corpus import Dataset
from edgernn.data.energies import levelled, without_floor
from edgernn.data.noise import make_noise
from edgernn.signal import native
from edgernn.signal.audio import Float32, to_float
from edgernn.signal.log_mel import FrontEndParams, make_tables
from edgernn.tasks.vad.recipe import VadRecipe
from edgernn.tasks.vad.streams import Streams
from edgernn.tasks.vad.truth import GRID, Bools

Progress = Callable[[str, int, int], None]
_MADE = ("impulses", "white", "pink", "brown", "hum50", "hum60")
_AT_ONCE = 64


class Stems(Streams):
    """Draws talk and noise apart, unfiltered: what filters do to sound is done to its band energies."""

    def talk(self) -> tuple[Float32, Bools]:
        """Speech [samples], some in a room, recorded or made up, and where it is speech, bool [frames]."""
        c, kind = self.mix, self.rng.random()
        dry, said = self.utterances()
        if self._rooms and kind < c.room_probability:
            return self.in_room(dry)[0], said
        return (self.in_made_room(dry) if kind < c.room_probability + c.made_room_probability else dry), said

    def filtered(self, x: Float32) -> Float32:
        """As it is."""
        return x

    def one_noise(self) -> Float32:
        """One noise [samples]: many voices at once, a generated one, or what the mixer gives; a quarter backwards."""
        c, kind = self.mix, self.rng.random()
        if kind < c.babble_probability:
            x = self._babble()
        elif kind < c.babble_probability + c.made_probability:
            x = to_float(make_noise(str(self.rng.choice(_MADE)), self.samples, self.rng))
        else:
            x = super().one_noise()
        return x[::-1] if self.rng.random() < 0.25 else x

    def _babble(self) -> Float32:
        """4 to 10 voices, up to 10 dB apart, half of the time in a room."""
        rng, out = self.rng, np.zeros(self.samples, np.float32)
        for _ in range(int(rng.integers(4, 11))):
            pcm = self.data.pcm(self.voices.draw(rng))
            x = to_float(np.resize(np.roll(pcm, int(rng.integers(len(pcm)))), self.samples))
            out += x * np.float32(10 ** (rng.uniform(-10, 0) / 20) / max(float(x.std()), 1e-5))
        return self.in_made_room(out) if rng.random() < 0.5 else out


@dataclass(frozen=True)
class Banks:
    """Band energies log2 Q9 [count, T, bands] of talk and of noise, memory-mapped; said: where talk is speech, [count, T]."""

    talk: NDArray[np.int16]
    said: Bools
    noise: NDArray[np.int16]


def kept_banks(recipe: VadRecipe, dataset: Dataset, split: str, count: int, progress: Progress) -> Banks:
    """`count` stems of each kind from a split: those kept beside the run's data, or made now."""
    rng = np.random.default_rng([recipe.seed, 21, 0 if split == "train" else 1])
    key = [dataset.id, asdict(recipe.mix), asdict(without_floor(recipe.frontend)), recipe.seed, split, count]
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    paths = [dataset.path.resolve().parent / "cache" / f"{what}-{name}.npy" for what in ("talk", "said", "noise")]
    if not all(path.exists() for path in paths):
        _make(Stems(recipe.mix, dataset, split, rng), recipe.frontend, count, paths, progress)
    talk, said, noise = (np.load(path, mmap_mode="r") for path in paths)
    return Banks(talk, np.asarray(said), noise)


def _make(source: Stems, frontend: FrontEndParams, count: int, paths: list[Path], progress: Progress) -> None:
    made: list[list[Any]] = [[], [], []]
    tables, bare = make_tables(without_floor(frontend)), without_floor(frontend)
    for begin in range(0, count, _AT_ONCE):
        some = range(begin, min(begin + _AT_ONCE, count))
        talks, noises = [source.talk() for _ in some], [source.one_noise() for _ in some]
        for kept, sounds in ((made[0], [x for x, _ in talks]), (made[2], noises)):
            kept.append(native.log_mels(np.stack([levelled(x) for x in sounds]), bare, tables))
        made[1].append(np.stack([_on_frames(said, frontend.hop, made[0][-1].shape[1]) for _, said in talks]))
        progress("preparing speech and noise", some[-1] + 1, count)
    for path, parts in zip(paths, made, strict=True):
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.save(file, np.concatenate(parts))


def _on_frames(said: Bools, hop: int, frames: int) -> Bools:
    """Truth on the grid of 10 ms -> of each frame of the front end."""
    at = (np.arange(frames) * hop + hop // 2) // GRID
    return said[np.minimum(at, len(said) - 1)]
