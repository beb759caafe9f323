"""What a spotter is listened to with: hours in which no keyword is said, and every keyword of a split, once, in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.data.augment import active_power, cut
from edgernn.data.corpus import UNKNOWN, Dataset, Row
from edgernn.outcomes import unique
from edgernn.signal.audio import SAMPLE_RATE, Int16, resampled, to_float, to_int16
from edgernn.tasks.spot.compose import sounding
from edgernn.tasks.spot.det import FAINT, Evidence, peaks, smoothed

PIECE_S = 60  #: negatives come in pieces of a minute
NOISE_DB = (5.0, 20.0)  #: SNR of every other pass over the negatives
GAP_S = 1.0  #: between two keywords
LATE_S = 0.5  #: a detection counts until so long after the keyword's sound


@dataclass(frozen=True)
class Material:
    """PCM at `rate` Hz: a stream of keywords, their spans (begin, end, label), and streams without any.

    names: those of the spans' recordings; distinct: minutes of recordings that the negatives are made of.
    """

    rate: int
    said: Int16
    spans: list[tuple[int, int, str]]
    names: list[str]
    negatives: list[Int16]
    distinct: float

    @property
    def hours(self) -> float:
        """Of negatives."""
        return sum(map(len, self.negatives)) / self.rate / 3600


def without_keywords(dataset: Dataset, split: str) -> list[Row]:
    """Recordings of a split in which no keyword is said: running speech and noise; words where there is no running speech."""
    speech = dataset.speech(split) or [row for row in dataset.clips(split) if row.label == UNKNOWN]
    return [*speech, *dataset.noise(split)]


def negatives(dataset: Dataset, split: str, hours: float, rng: np.random.Generator) -> Iterator[Int16]:
    """Pieces of PIECE_S seconds at 16 kHz until there are `hours` of them.

    All recordings of `without_keywords` in random order, then again; every second pass has noise added, at 5 to 20 dB.
    """
    rows, noise = without_keywords(dataset, split), [dataset.pcm(row) for row in dataset.noise(split)]
    samples, wanted = PIECE_S * SAMPLE_RATE, max(1, round(hours * 3600 / PIECE_S))
    held: list[Int16] = []
    length, given, turn = 0, 0, 0
    while rows and given < wanted:
        for i in rng.permutation(len(rows)):
            pcm = dataset.pcm(rows[i])
            held.append(_noisy(pcm, noise, rng) if turn % 2 and noise else pcm)
            length += len(pcm)
            while length >= samples and given < wanted:
                whole = np.concatenate(held)
                yield whole[:samples]
                held, length, given = [whole[samples:]], length - samples, given + 1
        turn += 1


def _noisy(pcm: Int16, noise: Sequence[Int16], rng: np.random.Generator) -> Int16:
    x, other = to_float(pcm), cut(noise, len(pcm), rng)
    gain = np.sqrt(active_power(x) / max(active_power(other), 1e-12) / 10 ** (rng.uniform(*NOISE_DB) / 10))
    return to_int16(x + other * np.float32(gain))


def keywords(dataset: Dataset, split: str, rng: np.random.Generator) -> tuple[Int16, list[tuple[int, int, str]], list[str]]:
    """Every keyword clip of a split in random order, GAP_S apart: int16 [n] at 16 kHz, the spans of their sound, their names.

    Every other one lies in noise of 5 to 20 dB.
    """
    rows = [row for row in dataset.clips(split) if row.label in dataset.keywords]
    noise, gap = [dataset.pcm(row) for row in dataset.noise(split)], round(GAP_S * SAMPLE_RATE)
    parts, spans, at = [np.zeros(gap, np.int16)], [], gap
    order = rng.permutation(len(rows))
    for n, i in enumerate(order):
        pcm = np.concatenate([dataset.pcm(rows[i]), np.zeros(gap, np.int16)])
        begin, end = sounding(to_float(dataset.pcm(rows[i])))
        spans.append((at + begin, at + end, rows[i].label))
        parts.append(_noisy(pcm, noise, rng) if n % 2 and noise else pcm)
        at += len(pcm)
    names = unique(row.source for row in rows)
    return np.concatenate(parts), spans, [names[i] for i in order]


def material(dataset: Dataset, split: str, hours: float, rate: int, seed: int) -> Material:
    """What a split offers to be listened to, at `rate` Hz."""
    rng = np.random.default_rng([seed, 31])
    pcm, spans, names = keywords(dataset, split, rng)
    moved = [(round(a * rate / SAMPLE_RATE), round(b * rate / SAMPLE_RATE), label) for a, b, label in spans]
    pieces = [resampled(piece, SAMPLE_RATE, rate) for piece in negatives(dataset, split, hours, rng)]
    minutes = sum(row.length for row in without_keywords(dataset, split)) / SAMPLE_RATE / 60
    return Material(rate, resampled(pcm, SAMPLE_RATE, rate), moved, names, pieces, minutes)


def heard(
    said: NDArray[np.int16], spans: Sequence[tuple[int, int, str]], negative: Sequence[NDArray[np.int16]],
    labels: Sequence[str], steps: int, apart: int, steps_per_second: float, rate: int,
) -> list[Evidence]:  # fmt: skip
    """The evidence on each of the keywords `labels`, from posteriors [T, K] of a Material's stream and of its negatives.

    steps: of smoothing; apart: least steps between two false accepts.
    """
    sums, least = smoothed(said, steps), round(FAINT * 32768 * steps)
    quiet = [smoothed(p, steps) for p in negative]
    hours, out = sum(map(len, quiet)) / steps_per_second / 3600, []
    for k, label in enumerate(labels):
        times = [_steps(span, steps_per_second, rate) for span in spans if span[2] == label]
        highest = np.array([sums[a:b, k].max(initial=0) for a, b in times], np.int64)
        false = [peaks(q[:, k], apart, least)[1] for q in quiet]
        out.append(Evidence(steps, highest, np.concatenate([np.zeros(0, np.int64), *false]), hours))
    return out


def _steps(span: tuple[int, int, str], steps_per_second: float, rate: int) -> tuple[int, int]:
    """The steps (first, end) in which a detection counts: from the word's beginning to LATE_S after its end."""
    begin, end, _ = span
    return int(begin / rate * steps_per_second), int((end / rate + LATE_S) * steps_per_second) + 1
