"""A dataset that remembers what was heard of it, and a small one of words, talk and noise in every split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgernn.data.corpus import NOISE, ROOM, SPEECH, SPLITS, Clip, Dataset, Item, Row, write_dataset
from edgernn.signal.audio import Int16

Heard = set[tuple[str, str]]


def listening(dataset: Dataset) -> tuple[Dataset, Heard]:
    """The dataset, and the (split, label) of every row whose samples are asked for from now on."""
    heard: Heard = set()

    class Listening(Dataset):
        def pcm(self, row: Row) -> Int16:
            heard.add((row.split, row.label))
            return super().pcm(row)

    return Listening(**vars(dataset)), heard


def small_corpus(folder: Path, words: tuple[str, ...] = ("stop",), rooms: tuple[str, ...] = ("train",)) -> Dataset:
    """Words of 0.25 s, "cat" (unknown), two stretches of running speech and two kinds of noise, of every split's own."""
    rng, clips = np.random.default_rng(0), []
    for split in SPLITS:
        for label in (*words, "cat"):
            for n in range(4 if split == "train" else 3):
                clips.append(Clip(Item(f"{split}/{label}{n}", label, f"{split} {n}", split), _sound(rng, 4000, 3000)))
        for n in range(2):
            clips.append(Clip(Item(f"{split}/talk{n}", SPEECH, f"{split} {n}", split), _sound(rng, 32000, 2000)))
            clips.append(Clip(Item(f"{split}/noise{n}", NOISE, "", split, "", f"kind {n}"), _sound(rng, 24000, 500)))
        if split in rooms:
            clips.append(Clip(Item(f"{split}/room", ROOM, f"room {split}", split), np.array([30000, 9000, 3000], np.int16)))
    return write_dataset(_with_noise_speakers(clips), words, folder, 0.5)


def _with_noise_speakers(clips: list[Clip]) -> list[Clip]:
    """Noise is of nobody, and no two splits share it."""
    return [
        Clip(Item(**{**vars(c.item), "speaker": c.item.speaker or c.item.source}), c.pcm) if c.item.label == NOISE else c
        for c in clips
    ]


def _sound(rng: np.random.Generator, samples: int, loud: int) -> Int16:
    envelope = 1 + np.sin(np.arange(samples) / samples * 40)
    return (rng.normal(size=samples) * loud * envelope / 2).clip(-32768, 32767).astype(np.int16)
