"""What training streams are composed of, as band energies: keywords in some variants, other words, running speech, noise.

Made once and kept beside the dataset, for every seed, net and epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.data.corpus import UNKNOWN, Dataset, Row
from edgernn.data.energies import levelled, without_floor
from edgernn.data.voices import engine_names
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16
from edgernn.tasks.spot.compose import Composer
from edgernn.tasks.spot.hearer import Hearer
from edgernn.tasks.spot.recipe import SpotRecipe

Progress = Callable[[str, int, int], None]
PEOPLE = "recorded"  #: who made a recording that no engine made up: as the engine of that name, people


@dataclass(frozen=True)
class Word:
    """One reading of a word: log energies int16 [T, bands] (Q9, no floor), where its sound begins and ends in ms, who spoke.

    by: an engine, or PEOPLE.
    """

    logs: Int16
    begin: int
    end: int
    by: str


@dataclass(frozen=True)
class Stock:
    """keywords: readings of each keyword, in the order of the labels; others: of other words; talk, noise [n, T, bands]."""

    keywords: tuple[tuple[Word, ...], ...]
    others: tuple[Word, ...]
    talk: Int16
    noise: Int16


def training_stock(dataset: Dataset, recipe: SpotRecipe, path: Path, progress: Progress) -> Stock:
    """Of the train split: found at `path`, or made and kept there. A split without running speech has no talk."""
    variants = recipe.streams.variants
    rows = [row for row in dataset.clips("train") for _ in range(1 if row.label == UNKNOWN else variants)]
    if not path.exists():
        _make(Composer(recipe.streams, dataset, "train", np.random.default_rng(41)), recipe, rows, path, progress)
    with np.load(path) as kept:
        spans = kept["spans"].tolist()
        words = [Word(kept_logs, begin, end, speaker(row)) for row, kept_logs, (_, begin, end) in
                 zip(rows, np.split(kept["words"], np.cumsum([n for n, _, _ in spans])[:-1]), spans, strict=True)]  # fmt: skip
        talk, noise = kept["talk"], kept["noise"]
    of = {label: tuple(w for w, row in zip(words, rows, strict=True) if row.label == label)
          for label in (*dataset.keywords, UNKNOWN)}  # fmt: skip
    return Stock(tuple(of[label] for label in dataset.keywords), of[UNKNOWN], talk, noise)


def speaker(row: Row) -> str:
    """The engine that a recording was made by: it is named `engine:voice:..`; a file is named by its path."""
    name = row.source.partition(":")[0]
    return name if name in engine_names() else PEOPLE


def _make(composer: Composer, recipe: SpotRecipe, rows: Sequence[Row], path: Path, progress: Progress) -> None:
    p, hear = recipe.streams, Hearer(recipe, without_floor(recipe.frontend))
    total, done, logs, spans = len(rows) + p.talk + p.noise, 0, [], []
    for row in rows:
        x, begin, end = composer.word(row)
        logs.append(hear(levelled(x)))
        spans.append((len(logs[-1]), *(round(1000 * at / SAMPLE_RATE) for at in (begin, end))))
        done += 1
        progress("preparing words", done, total)
    pieces: list[NDArray[np.int16]] = []
    for draw, count in ((composer.talk, p.talk if composer.voices.names else 0), (composer.noises, p.noise)):
        pieces.append(_heard((draw() for _ in range(count)), hear, recipe))
        done += count
        progress("preparing speech and noise", min(done, total), total)
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, words=np.concatenate(logs), spans=np.array(spans, np.int32), talk=pieces[0], noise=pieces[1])


def _heard(sounds: Iterable[Float32], hear: Hearer, recipe: SpotRecipe) -> Int16:
    """[n, T, bands]; nothing to hear: n = 0."""
    found = [hear(levelled(x)) for x in sounds]
    return np.stack(found) if found else np.zeros((0, 0, recipe.frontend.bands), np.int16)
