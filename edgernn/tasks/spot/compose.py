"""Sequences to train on: keywords laid into running speech, into chains of other words, into noise; and where they end.

A spotter runs for months without a reset, and nothing tells it where a word begins. So it learns from stretches of sound in
which words come when they come, not from clips cut around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgernn.data.augment import active_power
from edgernn.data.corpus import UNKNOWN, Dataset, Row
from edgernn.data.mixing import MixConfig, Mixer, warped
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16
from edgernn.tasks.spot.recipe import StreamParams

SPOKEN, CHAINED, NOISY = "speech", "words", "noise"  #: what a sequence's background is
GRAIN = SAMPLE_RATE // 100  #: the grain in which a word's end is found
FAINT = 10**-2.5  #: of a word's loudest 10 ms: what is fainter is not counted to it
MARGIN = SAMPLE_RATE // 20  #: of what is around a word's sound, this much is kept
NUMBERS = (0.3, 0.45, 0.25)  #: chances of none, one and two keywords in a sequence
LEVEL = 0.05  #: root mean square of speech before noise
APART = SAMPLE_RATE // 5  #: least time between two keywords
AFTER = SAMPLE_RATE // 2  #: a keyword ends so long before its sequence does


@dataclass(frozen=True)
class Mark:
    """A keyword in a sequence: its label, and the samples where its sound begins and ends."""

    label: str
    begin: int
    end: int


@dataclass(frozen=True)
class Composed:
    """int16 [samples] at 16 kHz, the keywords in it, and its background."""

    pcm: Int16
    marks: tuple[Mark, ...]
    kind: str


def sounding(x: Float32) -> tuple[int, int]:
    """Where a word's sound begins and ends in x [n], by energy: the first and the last 10 ms within 25 dB of the loudest."""
    whole = len(x) // GRAIN * GRAIN
    power = np.square(x[:whole], dtype=np.float64).reshape(-1, GRAIN).mean(1) if whole else np.zeros(0)
    loud = np.flatnonzero(power > FAINT * power.max(initial=0.0))
    if not len(loud):
        return 0, len(x)
    return int(loud[0]) * GRAIN, (int(loud[-1]) + 1) * GRAIN


class Composer(Mixer):
    """Draws sequences from a split; each draw advances the generator."""

    def __init__(self, p: StreamParams, dataset: Dataset, split: str, rng: np.random.Generator) -> None:
        mix = MixConfig(
            seconds=p.seconds, snr_db=p.snr_db, level_dbfs=p.level_dbfs, speed=p.speed, room_probability=p.room, tilt=0.25
        )
        super().__init__(mix, dataset, split, rng)
        self.p = p
        rows = dataset.clips(split)
        self._keywords = {word: _by_voice([r for r in rows if r.label == word]) for word in dataset.keywords}
        self._others = [row for row in rows if row.label == UNKNOWN]

    def check(self, split: str) -> None:
        """Noise there must be; running speech may be missing."""
        if not self.kinds.names:
            raise EdgernnError(f"the {split} split has no noise; add a data source with noise = true")

    def draw(self) -> Composed:
        """One sequence of `seconds`."""
        kind = self._kind()
        x, number = self._background(kind), int(self.rng.choice(len(NUMBERS), p=NUMBERS))
        places = [(i * self.samples // number, (i + 1) * self.samples // number) for i in range(number)]
        marks = [self._lay(x, low, high) for low, high in places]
        return Composed(self.finished(x), tuple(m for m in marks if m), kind)

    def keyword(self, row: Row) -> Composed:
        """A sequence with this recording alone in it, its background running speech or noise."""
        kind = SPOKEN if self.voices.names and self.rng.random() < 0.5 else NOISY
        x = self._background(kind)
        mark = self._lay(x, 0, self.samples, row)
        return Composed(self.finished(x), (mark,) if mark else (), kind)

    def finished(self, dry: Float32) -> Int16:
        """In a room, in noise, at some level."""
        c, rng = self.config, self.rng
        x = self.filtered(dry)
        if rng.random() < c.room_probability:
            x = self.in_room(x)[0] if self._rooms and rng.random() < 0.5 else self.in_made_room(x)
        noise = self.noises()
        snr = rng.uniform(40, 80) if rng.random() < self.p.clean else rng.uniform(*c.snr_db)
        wanted = (active_power(x) or LEVEL**2) / 10 ** (snr / 10)
        x = x + noise * np.float32(np.sqrt(wanted / max(active_power(noise), 1e-12)))
        level = 10 ** (rng.uniform(*c.level_dbfs) / 20) / np.sqrt(max(active_power(x), 1e-12))
        return to_int16(x * np.float32(min(level, 0.99 / max(float(np.abs(x).max()), 1e-9))))

    # Backgrounds ---------------------------------------------------------------------------

    def _kind(self) -> str:
        """Of the shares of the recipe; where the split has no running speech, other words stand for it."""
        drawn = self.rng.random()
        if drawn < self.p.speech:
            return SPOKEN if self.voices.names else CHAINED
        return CHAINED if drawn < self.p.speech + self.p.words else NOISY

    def _background(self, kind: str) -> Float32:
        if kind == SPOKEN:
            return self._speech()
        return self._chain() if kind == CHAINED else np.zeros(self.samples, np.float32)

    def _speech(self) -> Float32:
        """Stretches of running speech, some by one speaker, with pauses between them."""
        out, position, rng = np.zeros(self.samples, np.float32), 0, self.rng
        row = self.voices.draw(rng)
        while position < self.samples:
            pcm = self.data.pcm(row)
            wanted = round(rng.uniform(1.5, 5.0) * SAMPLE_RATE)
            begin = int(rng.integers(max(1, len(pcm) - wanted + 1)))
            self._add(out, self._said(pcm[begin : begin + wanted], 3), position)
            position += wanted + round(rng.uniform(0, 0.4) * SAMPLE_RATE)
            row = self.voices.draw(rng) if rng.random() < 0.5 else row
        return out

    def _chain(self) -> Float32:
        """Other words and parts of keywords, one after the other."""
        out, rng = np.zeros(self.samples, np.float32), self.rng
        position = round(rng.uniform(0, 0.5) * SAMPLE_RATE)
        while position < self.samples:
            whole = bool(self._others) and rng.random() < 0.7
            x = self._word(self._others[int(rng.integers(len(self._others)))]) if whole else self._part()
            self._add(out, x, position)
            position += len(x) + round(rng.uniform(0, 0.6) * SAMPLE_RATE)
        return out

    def _part(self) -> Float32:
        """The beginning or the end of a keyword, a quarter to six tenths of its sound."""
        words = list(self._keywords.values())
        x = self._word(_drawn(words[int(self.rng.integers(len(words)))], self.rng))
        begin, end = sounding(x)
        length = round(self.rng.uniform(0.25, 0.6) * (end - begin))
        return _faded(x[begin : begin + length] if self.rng.random() < 0.5 else x[end - length : end])

    # Words ---------------------------------------------------------------------------

    def _lay(self, x: Float32, low: int, high: int, row: Row | None = None) -> Mark | None:
        """Put a keyword somewhere between samples `low` and `high` of x, in place; None where it has no room there.

        What was said at its place is silenced.
        """
        rng, words = self.rng, list(self._keywords)
        row = row or _drawn(self._keywords[words[int(rng.integers(len(words)))]], rng)
        word = self._word(row)
        before, after = (round(s * SAMPLE_RATE) for s in rng.uniform(*self.p.quiet_s, 2))
        if rng.random() >= self.p.quiet:
            before = after = 0
        last = min(high, self.samples - AFTER) - len(word) - APART
        if last < low:
            return None
        at = int(rng.integers(low, last + 1))
        _silence(x, max(0, at - before), min(at + len(word) + after, self.samples))
        self._add(x, word, at)
        begin, end = sounding(word)
        return Mark(row.label, at + begin, at + end)

    def _word(self, row: Row) -> Float32:
        """A recording without what is around its sound, at some speed and level."""
        x = self._said(self.data.pcm(row), 6)
        begin, end = sounding(x)
        return _faded(x[max(0, begin - MARGIN) : end + MARGIN])

    def _said(self, pcm: Int16, db: float) -> Float32:
        """Speech at some speed, its level `db` around LEVEL."""
        x = warped(to_float(pcm), 1 + self.rng.uniform(-self.p.speed, self.p.speed))
        gain = LEVEL / np.sqrt(max(active_power(x), 1e-9)) * 10 ** (self.rng.uniform(-db, db) / 20)
        return x * np.float32(gain)

    def _add(self, out: Float32, x: Float32, at: int) -> None:
        """Add x to out at a sample, as far as there is room."""
        out[at : at + len(x)] += x[: max(0, len(out) - at)]


def _by_voice(rows: Sequence[Row]) -> list[list[Row]]:
    """The recordings of a word by who made them: each engine's voices, and people's."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.source.split(":")[0] if ":" in row.source else "", []).append(row)
    return list(groups.values())


def _drawn(groups: list[list[Row]], rng: np.random.Generator) -> Row:
    """A row of a random group: twenty recordings of people are not drowned by a thousand of an engine's."""
    rows = groups[int(rng.integers(len(groups)))]
    return rows[int(rng.integers(len(rows)))]


def _faded(x: Float32) -> Float32:
    """Without clicks at its ends: 5 ms up, 5 ms down."""
    fade = min(SAMPLE_RATE // 200, len(x) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    x = x.copy()
    x[:fade] *= ramp
    x[len(x) - fade :] *= ramp[::-1]
    return x


def _silence(x: Float32, begin: int, end: int) -> None:
    """Nothing between two samples of x, in place, with 10 ms down before and up after."""
    before, after = max(0, begin - GRAIN), min(len(x), end + GRAIN)
    x[before:begin] *= np.linspace(1, 0, begin - before, dtype=np.float32)
    x[end:after] *= np.linspace(0, 1, after - end, dtype=np.float32)
    x[begin:end] = 0
