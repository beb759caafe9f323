"""Sequences to train on, composed anew for every update: keywords in running speech, in chains of other words, in noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.data.energies import DB, Energies, of_logs, summed
from edgernn.data.voices import naturalness
from edgernn.signal.audio import Float32, Int16
from edgernn.signal.log_mel import FrontEndParams
from edgernn.tasks.spot.recipe import StreamParams
from edgernn.tasks.spot.stock import Stock, Word

SPOKEN, CHAINED, NOISY = "speech", "words", "noise"  #: what a sequence's background is
MOST_MARKS = 2  #: keywords of a sequence
NONE = -1  #: the label where there is no further word
NUMBERS = (0.3, 0.45, 0.25)  #: chances of none, one and two keywords in a sequence
APART_S, AFTER_S = 0.2, 0.5  #: least time between two keywords, and from a keyword's end to the sequence's
WORD_DB = 6.0  #: a word is up to so much louder or softer than another
_FILTER = 0.6  # strength of microphones and rooms
_PART = (0.25, 0.6)  # of a keyword's sound, which alone is none
_ACTIVE = 1e-3  # of the loudest frame: what is fainter does not count for a level
_PEAK = 0.3  # most energy of a frame, of full scale's


@dataclass(frozen=True)
class Bank:
    """Sequences: log_mel int16 [N, T, bands] (Q9); marks int32 [N, MOST_MARKS, 3]: label (NONE: no more), begin, end in ms."""

    log_mel: Int16
    marks: NDArray[np.int32]


class Voices:
    """Readings of a word by who spoke them, drawn by how natural those sound; people are not drowned by a thousand clips."""

    def __init__(self, words: Sequence[Word]) -> None:
        groups: dict[str, list[Word]] = {}
        for word in words:
            groups.setdefault(word.by, []).append(word)
        self._groups = list(groups.values())
        weights = np.array([naturalness(by) for by in groups])
        self._edges = np.cumsum(weights / weights.sum()) if len(weights) else weights

    def draw(self, rng: np.random.Generator) -> Word:
        """One reading."""
        group = self._groups[min(int(np.searchsorted(self._edges, rng.random())), len(self._groups) - 1)]
        return group[int(rng.integers(len(group)))]


class FreshStreams:
    """Draws sequences; all follow the generator they are given."""

    def __init__(self, p: StreamParams, frontend: FrontEndParams, stock: Stock) -> None:
        self.p, self._stock, self._energies = p, stock, Energies(frontend)
        self._keywords = [Voices(words) for words in stock.keywords]
        self._others = Voices(stock.others) if stock.others else None
        self._frame_ms = 1000 * frontend.hop / frontend.sample_rate
        self._frames, self._bands = stock.noise.shape[1:]

    def draw(self, count: int, rng: np.random.Generator) -> Bank:
        """`count` sequences: words and talk, in noise, at some level."""
        said, marks = zip(*[self._sequence(rng) for _ in range(count)], strict=True)
        return Bank(self.heard(np.stack(said), rng), np.stack(marks))

    def heard(self, said: Float32, rng: np.random.Generator) -> Int16:
        """Features [N, T, bands] of what is said, energies of that shape: by some microphone, in noise, at some level."""
        count = len(said)
        x: Float32 = said * np.exp2(DB * self._energies.filters(count, _FILTER, rng))[:, None]
        noise = self._noises(count, rng)
        noisy = np.where(rng.random(count) < self.p.clean, rng.uniform(40, 80, count), rng.uniform(*self.p.snr_db, count))
        level = np.maximum(_active(x), 1e-6)
        noise *= (level / np.maximum(_active(noise), 1e-6) / 10 ** (noisy / 10)).astype(np.float32)[:, None, None]
        whole = np.maximum(self._energies.sum(x, noise, rng), 0)
        whole *= self._levels(whole, rng)[:, None, None]
        return self._energies.to_features(whole)

    # A sequence ---------------------------------------------------------------------------

    def _sequence(self, rng: np.random.Generator) -> tuple[Float32, NDArray[np.int32]]:
        """Energies [T, bands] of what is said, and the keywords in it as a row of Bank.marks."""
        kind = self.kind(rng)
        x = np.zeros((self._frames, self._bands), np.float32)
        if kind == SPOKEN:
            x = of_logs(self._stock.talk[int(rng.integers(len(self._stock.talk)))])
            x *= np.float32(10 ** (rng.uniform(*self.p.talk_db) / 10))
        elif kind == CHAINED:
            self._chain(x, rng)
        marks = np.full((MOST_MARKS, 3), NONE, np.int32)
        number = int(rng.choice(len(NUMBERS), p=NUMBERS))
        for i in range(number):
            marks[i] = self._lay(x, i * self._frames // number, (i + 1) * self._frames // number, rng)
        return x, marks

    def kind(self, rng: np.random.Generator) -> str:
        """Of the shares of the recipe; where there is no running speech, other words stand for it."""
        drawn = float(rng.random())
        if drawn < self.p.speech:
            return SPOKEN if len(self._stock.talk) else CHAINED
        return CHAINED if drawn < self.p.speech + self.p.words else NOISY

    def _chain(self, x: Float32, rng: np.random.Generator) -> None:
        """Other words and parts of keywords, one after the other, into x."""
        at = int(rng.integers(self._count(0.5)))
        while at < self._frames:
            whole = self._others and rng.random() < 0.7
            logs = self._said(self._others, rng).logs if whole and self._others else self._part(rng)
            self._add(x, logs, at, rng)
            at += len(logs) + int(rng.integers(self._count(0.6)))

    def _part(self, rng: np.random.Generator) -> Int16:
        """The beginning or the end of a keyword."""
        word = self._said(self._keywords[int(rng.integers(len(self._keywords)))], rng)
        begin, end = (int(ms / self._frame_ms) for ms in (word.begin, word.end))
        length = max(1, int(rng.uniform(*_PART) * (end - begin)))
        return word.logs[begin : begin + length] if rng.random() < 0.5 else word.logs[max(0, end - length) : end]

    def _lay(self, x: Float32, low: int, high: int, rng: np.random.Generator) -> tuple[int, float, float]:
        """Put a keyword somewhere between frames `low` and `high` of x, in place; nothing where it has no room there.

        What was said at its place is silenced.
        """
        label = int(rng.integers(len(self._keywords)))
        word = self._said(self._keywords[label], rng)
        begin, end = int(word.begin / self._frame_ms), int(np.ceil(word.end / self._frame_ms))
        last = min(high - self._count(APART_S), self._frames - self._count(AFTER_S)) - end
        if last < low:
            return NONE, NONE, NONE
        at = int(rng.integers(low, last + 1))
        before, after = (self._count(s) for s in rng.uniform(*self.p.quiet_s, 2))
        if rng.random() >= self.p.quiet:
            before = after = 0
        x[max(0, at + begin - before) : at + end + after] = 0
        self._add(x, word.logs, at, rng)
        return label, round(at * self._frame_ms + word.begin), round(at * self._frame_ms + word.end)

    def _said(self, voices: Voices, rng: np.random.Generator) -> Word:
        """A reading at some tempo."""
        return stretched(voices.draw(rng), 1 + rng.uniform(-self.p.tempo, self.p.tempo))

    def _add(self, x: Float32, logs: Int16, at: int, rng: np.random.Generator) -> None:
        """A word at some level to x at a frame, as far as there is room."""
        gain = np.float32(10 ** (rng.uniform(-WORD_DB, WORD_DB) / 10))
        x[at : at + len(logs)] += gain * of_logs(logs[: self._frames - at])

    def _count(self, seconds: float) -> int:
        """Frames, at least one."""
        return max(1, round(1000 * seconds / self._frame_ms))

    # Noise and level ---------------------------------------------------------------------------

    def _noises(self, count: int, rng: np.random.Generator) -> Float32:
        """Energies [count, T, bands] of a noise each; some have other people's talk in them."""
        pick = rng.integers(len(self._stock.noise), size=count)
        out = of_logs(self._stock.noise[pick]) * np.exp2(DB * self._energies.filters(count, _FILTER, rng))[:, None]
        which = np.flatnonzero(rng.random(count) < self.p.behind) if len(self._stock.talk) else np.zeros(0, int)
        if len(which):
            talk = of_logs(self._stock.talk[rng.integers(len(self._stock.talk), size=len(which))])
            ratio = _active(out[which]) / np.maximum(_active(talk), 1e-6) * 10 ** (rng.uniform(-10, 20, len(which)) / 10)
            out[which] += talk * ratio.astype(np.float32)[:, None, None]
        return np.asarray(out, np.float32)

    def _levels(self, whole: Float32, rng: np.random.Generator) -> Float32:
        """A gain each."""
        wanted = 10 ** (rng.uniform(*self.p.level_dbfs, len(whole)) / 10) / np.maximum(_active(whole), 1e-6)
        highest = _PEAK / np.maximum(summed(whole).max(1), 1e-6)
        return np.asarray(self._energies.full_scale * np.minimum(wanted, highest), np.float32)


def stretched(word: Word, factor: float) -> Word:
    """The word so many times longer, at the same pitch: its frames interpolated."""
    at = np.minimum(np.arange(max(1, round(len(word.logs) * factor))) / factor, len(word.logs) - 1)
    low = at.astype(int)
    share = (at - low)[:, None].astype(np.float32)
    above = word.logs[np.minimum(low + 1, len(word.logs) - 1)].astype(np.float32)
    logs = np.asarray(np.rint(word.logs[low] * (1 - share) + above * share), np.int16)
    return Word(logs, round(word.begin * factor), round(word.end * factor), word.by)


def _active(x: Float32) -> NDArray[np.float64]:
    """Mean energy [N] of those frames of x [N, T, bands] that count; 0 of silence."""
    energy = summed(x).astype(np.float64)
    counts = energy > _ACTIVE * energy.max(1, keepdims=True)
    return np.asarray((energy * counts).sum(1) / np.maximum(counts.sum(1), 1))
