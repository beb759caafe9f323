"""What streams are composed of: words and where they end, running speech, noise; and sequences with one word to judge by.

A spotter runs for months without a reset, and nothing tells it where a word begins. So it learns from stretches of sound in
which words come when they come, not from clips cut around them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgernn.data.augment import active_power
from edgernn.data.corpus import Dataset, Row
from edgernn.data.mixing import MixConfig, Mixer, warped
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16
from edgernn.tasks.spot.recipe import StreamParams

GRAIN = SAMPLE_RATE // 100  #: the grain in which a word's end is found
FAINT = 10**-2.5  #: of a word's loudest 10 ms: what is fainter is not counted to it
MARGIN = SAMPLE_RATE // 20  #: of what is around a word's sound, this much is kept
LEVEL = 0.05  #: root mean square of speech before noise
TAIL = SAMPLE_RATE * 3 // 10  #: of a word's room that is kept
AFTER = SAMPLE_RATE // 2  #: a keyword ends so long before its sequence does


@dataclass(frozen=True)
class Mark:
    """A keyword in a sequence: its label, and the samples where its sound begins and ends."""

    label: str
    begin: int
    end: int


@dataclass(frozen=True)
class Composed:
    """int16 [samples] at 16 kHz, and the keywords in it."""

    pcm: Int16
    marks: tuple[Mark, ...]


def sounding(x: Float32) -> tuple[int, int]:
    """Where a word's sound begins and ends in x [n], by energy: the first and the last 10 ms within 25 dB of the loudest."""
    whole = len(x) // GRAIN * GRAIN
    power = np.square(x[:whole], dtype=np.float64).reshape(-1, GRAIN).mean(1) if whole else np.zeros(0)
    loud = np.flatnonzero(power > FAINT * power.max(initial=0.0))
    if not len(loud):
        return 0, len(x)
    return int(loud[0]) * GRAIN, (int(loud[-1]) + 1) * GRAIN


class Composer(Mixer):
    """Draws from a split; each draw advances the generator."""

    def __init__(self, p: StreamParams, dataset: Dataset, split: str, rng: np.random.Generator) -> None:
        mix = MixConfig(
            seconds=p.seconds, snr_db=p.snr_db, level_dbfs=p.level_dbfs, speed=p.speed, room_probability=p.room, tilt=0.25
        )
        super().__init__(mix, dataset, split, rng)
        self.p = p

    def check(self, split: str) -> None:
        """Noise there must be; running speech may be missing."""
        if not self.kinds.names:
            raise EdgernnError(f"the {split} split has no noise; add a data source with noise = true")

    # Stems ---------------------------------------------------------------------------

    def word(self, row: Row) -> tuple[Float32, int, int]:
        """A recording at some speed, in a room or none: sound [n], and the samples where the word itself begins and ends."""
        x = self._word(row)
        begin, end = sounding(x)
        return _faded(self._in_some_room(np.pad(x, (0, TAIL)))), begin, end

    def talk(self) -> Float32:
        """Running speech [samples], in a room or none."""
        return self._in_some_room(self._speech())

    def _in_some_room(self, x: Float32) -> Float32:
        rng = self.rng
        if rng.random() >= self.config.room_probability:
            return x
        return self.in_room(x)[0] if self._rooms and rng.random() < 0.5 else self.in_made_room(x)

    # Sequences to judge by ---------------------------------------------------------------------------

    def keyword(self, row: Row) -> Composed:
        """A sequence with this recording alone in it, its background running speech or noise."""
        spoken = self.voices.names and self.rng.random() < 0.5
        x = self._speech() if spoken else np.zeros(self.samples, np.float32)
        mark = self._lay(x, row)
        return Composed(self.finished(x), (mark,) if mark else ())

    def finished(self, dry: Float32) -> Int16:
        """In a room, in noise, at some level."""
        c, rng = self.config, self.rng
        x = self._in_some_room(self.filtered(dry))
        noise = self.noises()
        snr = rng.uniform(40, 80) if rng.random() < self.p.clean else rng.uniform(*c.snr_db)
        wanted = (active_power(x) or LEVEL**2) / 10 ** (snr / 10)
        x = x + noise * np.float32(np.sqrt(wanted / max(active_power(noise), 1e-12)))
        level = 10 ** (rng.uniform(*c.level_dbfs) / 20) / np.sqrt(max(active_power(x), 1e-12))
        return to_int16(x * np.float32(min(level, 0.99 / max(float(np.abs(x).max()), 1e-9))))

    def _speech(self) -> Float32:
        """Stretches of running speech, some by one speaker, with pauses between them."""
        out, position, rng = np.zeros(self.samples, np.float32), 0, self.rng
        row = self.voices.draw(rng)
        while position < self.samples:
            pcm = self.data.pcm(row)
            wanted = round(rng.uniform(1.5, 5.0) * SAMPLE_RATE)
            begin = int(rng.integers(max(1, len(pcm) - wanted + 1)))
            self._add(out, self._said(pcm[begin : begin + wanted], 3), position)
            position += min(wanted, len(pcm)) + round(rng.uniform(0, 0.4) * SAMPLE_RATE)
            row = self.voices.draw(rng) if rng.random() < 0.5 else row
        return out

    def _lay(self, x: Float32, row: Row) -> Mark | None:
        """Put a keyword somewhere into x, in place; None where it has no room. What was said at its place is silenced."""
        rng, word = self.rng, self._word(row)
        before, after = (round(s * SAMPLE_RATE) for s in rng.uniform(*self.p.quiet_s, 2))
        if rng.random() >= self.p.quiet:
            before = after = 0
        last = self.samples - AFTER - len(word)
        if last < 0:
            return None
        at = int(rng.integers(last + 1))
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
