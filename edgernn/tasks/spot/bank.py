"""What a training on streams hears as features, prepared once and kept beside the dataset for every seed and epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.data.corpus import Dataset
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks.spot.compose import Composed, Composer
from edgernn.tasks.spot.fresh import MOST_MARKS, NONE, Bank, FreshStreams
from edgernn.tasks.spot.hearer import Hearer
from edgernn.tasks.spot.hearing import PIECE_S, negatives
from edgernn.tasks.spot.recipe import SpotRecipe
from edgernn.tasks.spot.stock import training_stock

Progress = Callable[[str, int, int], None]
VALIDATION_WORDS = 150  #: sequences with a keyword that an epoch is judged by, for each keyword


def training_streams(dataset: Dataset, recipe: SpotRecipe, progress: Progress) -> FreshStreams:
    """Sequences of the train split, composed as they are drawn."""
    return FreshStreams(
        recipe.streams, recipe.frontend, training_stock(dataset, recipe, _path(dataset, recipe, "stock"), progress)
    )


def validation_bank(dataset: Dataset, recipe: SpotRecipe, labels: tuple[str, ...], progress: Progress) -> Bank:
    """Sequences of the validation split with one keyword each."""
    path = _path(dataset, recipe, "validation")
    if not path.exists():
        composer, hear = Composer(recipe.streams, dataset, "validation", np.random.default_rng(42)), Hearer(recipe)
        clips, order = dataset.clips("validation"), {label: i for i, label in enumerate(labels)}
        rows = [row for word in dataset.keywords for row in [r for r in clips if r.label == word][:VALIDATION_WORDS]]
        drawn = []
        for number, row in enumerate(rows, 1):
            sequence = composer.keyword(row)
            drawn.append((hear(sequence.pcm), marks_of(sequence, order)))
            progress("composing streams", number, len(rows))
        logs, marks = (np.stack(part) for part in zip(*drawn, strict=True))
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez(file, log_mel=logs, marks=marks)
    with np.load(path) as kept:
        return Bank(kept["log_mel"], kept["marks"])


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


def marks_of(sequence: Composed, order: dict[str, int]) -> NDArray[np.int32]:
    """The keywords of a sequence as a row of Bank.marks."""
    row = np.full((MOST_MARKS, 3), NONE, np.int32)
    for i, mark in enumerate(sequence.marks):
        row[i] = order[mark.label], round(mark.begin * 1000 / SAMPLE_RATE), round(mark.end * 1000 / SAMPLE_RATE)
    return row


def _path(dataset: Dataset, recipe: SpotRecipe, what: str) -> Path:
    """Named by everything that it depends on; not the seed, so that several share it."""
    made_of = {name: getattr(recipe.streams, name) for name in MADE_OF[what.partition("-")[0]]}
    parts = [dataset.id, asdict(recipe.frontend), made_of, recipe.frames_per_step]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return dataset.path.resolve().parent / "cache" / f"{what}-{key}.npz"


#: what of the recipe's section `streams` changes what is kept
MADE_OF = {
    "stock": ("variants", "talk", "noise", "seconds", "room", "speed"),
    "validation": ("seconds", "quiet", "quiet_s", "snr_db", "clean", "room", "level_dbfs", "speed"),
    "negatives": ("hours",),
}
