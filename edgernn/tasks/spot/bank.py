"""Sequences and negative hours as front-end features, prepared once and kept beside the dataset for every seed and epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.data.corpus import Dataset
from edgernn.signal.audio import SAMPLE_RATE, Int16, resampled
from edgernn.signal.log_mel import make_tables
from edgernn.signal.native import NativeFrontEnd
from edgernn.tasks.spot.compose import Composed, Composer
from edgernn.tasks.spot.hearing import PIECE_S, negatives
from edgernn.tasks.spot.recipe import SpotRecipe

Progress = Callable[[str, int, int], None]
MOST_MARKS = 2  #: keywords of a sequence
NONE = -1  #: the label where there is no further word
VALIDATION_WORDS = 150  #: sequences with a keyword that an epoch is judged by, for each keyword


@dataclass(frozen=True)
class Bank:
    """Sequences: log_mel int16 [N, T, bands] (Q9); marks int32 [N, MOST_MARKS, 3]: label (NONE: no more), begin, end in ms."""

    log_mel: Int16
    marks: NDArray[np.int32]


class Hearer:
    """Sound at 16 kHz to log-energies of a recipe's front end, each from reset."""

    def __init__(self, recipe: SpotRecipe) -> None:
        self._rate = recipe.frontend.sample_rate
        self._frontend = NativeFrontEnd(recipe.frontend, make_tables(recipe.frontend))
        self._per_step = recipe.frames_per_step

    def __call__(self, pcm: Int16) -> Int16:
        """PCM [n] -> [T, bands], whole steps."""
        self._frontend.reset()
        logs = self._frontend(resampled(pcm, SAMPLE_RATE, self._rate))
        return logs[: len(logs) // self._per_step * self._per_step]


def training_bank(dataset: Dataset, recipe: SpotRecipe, labels: tuple[str, ...], progress: Progress) -> Bank:
    """`streams.count` sequences of the train split."""
    composer = Composer(recipe.streams, dataset, "train", np.random.default_rng(41))
    return _kept(dataset, recipe, labels, "train", recipe.streams.count, composer.draw, progress)


def validation_bank(dataset: Dataset, recipe: SpotRecipe, labels: tuple[str, ...], progress: Progress) -> Bank:
    """Sequences of the validation split with one keyword each."""
    composer = Composer(recipe.streams, dataset, "validation", np.random.default_rng(42))
    rows = [[r for r in dataset.clips("validation") if r.label == word][:VALIDATION_WORDS] for word in dataset.keywords]
    said = iter([row for group in rows for row in group])
    return _kept(
        dataset, recipe, labels, "validation", sum(map(len, rows)), lambda: composer.keyword(next(said)), progress
    )  # fmt: skip


def negative_pieces(dataset: Dataset, recipe: SpotRecipe, split: str, progress: Progress) -> Int16:
    """`streams.hours` without a keyword as log-energies [pieces, T, bands], each from reset."""
    path, hear = _path(dataset, recipe, f"negatives-{split}"), Hearer(recipe)
    if not path.exists():
        total, out = round(recipe.streams.hours * 3600 / PIECE_S), []
        for pcm in negatives(dataset, split, recipe.streams.hours, np.random.default_rng([43, len(split)])):
            out.append(hear(pcm))
            progress("preparing negatives", len(out), total)
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.save(file, np.stack(out))
    found: Int16 = np.load(path, mmap_mode="r")
    return found


def _kept(
    dataset: Dataset, recipe: SpotRecipe, labels: tuple[str, ...], split: str, count: int,
    draw: Callable[[], Composed], progress: Progress,
) -> Bank:  # fmt: skip
    """The bank of a split: found prepared, or prepared now."""
    path = _path(dataset, recipe, f"streams-{split}")
    if not path.exists():
        hear, order = Hearer(recipe), {label: i for i, label in enumerate(labels)}
        drawn = []
        for i in range(count):
            sequence = draw()
            drawn.append((hear(sequence.pcm), marks_of(sequence, order)))
            progress("composing streams", i + 1, count)
        logs, marks = (np.stack(part) for part in zip(*drawn, strict=True))
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez(file, log_mel=logs, marks=marks)
    with np.load(path) as kept:
        return Bank(kept["log_mel"], kept["marks"])


def marks_of(sequence: Composed, order: dict[str, int]) -> NDArray[np.int32]:
    """The keywords of a sequence as a row of Bank.marks."""
    row = np.full((MOST_MARKS, 3), NONE, np.int32)
    for i, mark in enumerate(sequence.marks):
        row[i] = order[mark.label], round(mark.begin * 1000 / SAMPLE_RATE), round(mark.end * 1000 / SAMPLE_RATE)
    return row


def _path(dataset: Dataset, recipe: SpotRecipe, what: str) -> Path:
    """Named by everything that the sequences depend on; not the seed, so that several share them."""
    made_of = {k: v for k, v in asdict(recipe.streams).items() if k in COMPOSED}
    parts = [dataset.id, asdict(recipe.frontend), made_of, recipe.frames_per_step]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return dataset.path.resolve().parent / "cache" / f"{what}-{key}.npz"


#: what of the recipe's section `streams` changes how a sequence sounds
COMPOSED = (
    "count", "seconds", "speech", "words", "quiet", "quiet_s", "snr_db", "clean", "room", "level_dbfs", "speed", "hours",
)  # fmt: skip
