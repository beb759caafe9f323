"""Recordings that are to hold no keyword, and may: a keyword that is said in a folder of negatives is trained away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgernn.data.corpus import Row
from edgernn.notes import note
from edgernn.tasks.spot.det import peaks, smoothed
from edgernn.tasks.spot.stock import PEOPLE, speaker

MOST_TOLD = 5  #: the clearest of them


class Suspect(NamedTuple):
    """A place that sounds like a keyword as people say it: recording, the word's end in seconds, the word, the score 0..1."""

    source: str
    seconds: float
    word: str
    score: float


def clear_scores(highest: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """What half of each keyword's own recordings reach, of the highest sums of each; where there are none, out of reach."""
    return np.array([int(np.median(h)) if len(h) else np.iinfo(np.int64).max for h in highest], np.int64)


def suspects(
    rows: Iterable[Row], posteriors: Callable[[Row], NDArray[np.int16]], words: Sequence[str], clear: NDArray[np.int64],
    smoothing: int, apart: int, step_ms: float,
) -> list[Suspect]:  # fmt: skip
    """Where recordings score as high as `clear` [K], sums of `smoothing` posteriors Q15 [T, labels]; the clearest first.

    What an engine said is passed over: its text is known, and there is no file to take out.
    """
    found = []
    for row in (row for row in rows if speaker(row) == PEOPLE):
        sums = smoothed(posteriors(row), smoothing)
        for k, word in enumerate(words):
            for at, height in zip(*peaks(sums[:, k], apart, int(clear[k]) - 1), strict=True):
                seconds, score = round((int(at) + 1) * step_ms / 1000, 1), round(int(height) / smoothing / 32768, 3)
                found.append(Suspect(row.source, seconds, word, score))
    return sorted(found, key=lambda s: -s.score)


def tell(found: Sequence[Suspect]) -> None:
    """A line each, of the clearest; how many more there are."""
    for s in found[:MOST_TOLD]:
        note(
            f"{s.source} is to hold no keyword, but at {s.seconds:g} s it sounds like {s.word!r} (score {s.score:g}), as clear "
            "as half of that word's recordings; if it is said there, take that recording out and train again"
        )
    if len(found) > MOST_TOLD:
        note(f"{len(found) - MOST_TOLD} more places sound like a keyword; `edgernn audit` on those recordings finds them")
