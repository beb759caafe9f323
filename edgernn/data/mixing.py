"""Noisy speech and the clean speech in it, mixed on the fly; everything follows the generator it is given.

Speakers and kinds of noise are drawn first, by the square root of how much there is of each, so that a speaker with an hour
does not drown one with a minute. The clean target keeps a room's early reflections, which help the ear, and loses the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.data.corpus import Dataset, Row
from edgernn.data.noise import make_noise
from edgernn.errors import EdgernnError
from edgernn.ranges import check_ranges, shown
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, read_audio, to_float, to_int16

_EARLY = SAMPLE_RATE // 20  #: reflections within 50 ms belong to the clean signal
_LONGEST_ROOM = SAMPLE_RATE // 2
_FULL = 0.99  #: the peak that a mixture is scaled down to
_LEAST_POWER = 1e-9
MOST_NOISES = 3
EVALUATION_SNRS = (-5, 0, 5, 10, 15)
EVALUATION_SECONDS = 8
EVALUATION_PEAK = 0.7


@dataclass(frozen=True)
class MixConfig:
    """Ranges are uniform, probabilities 0 to 1."""

    seconds: float = 3.0  #: length of a training pair
    snr_db: tuple[float, float] = (-7.0, 20.0)
    level_dbfs: tuple[float, float] = (-38.0, -12.0)  #: of the mixture; its peak stays below full scale
    speed: float = 0.1  #: ± fraction of speech; pitch follows
    noise_speed: float = 0.6  #: a noise is played up to so much faster, or slower by as much (1 / 1.6)
    tilt: float = 0.375  #: largest coefficient of a random second-order filter; 0: none
    room_probability: float = 0.15
    more_noise: float = 0.3  #: chance of a second noise, and again of a third
    white_probability: float = 0.08  #: a noise that is white (before its filter) instead of recorded
    machine_probability: float = 0.12  #: a noise of a made-up machine instead of a recorded one
    noise_alone: float = 0.04  #: pairs without speech: the target is silence
    clean_alone: float = 0.04  #: pairs without noise: the target is the input
    silence: float = 0.01  #: pairs of digital silence

    def __post_init__(self) -> None:
        """Refuse what cannot be mixed."""
        shares = ("room_probability", "more_noise", "white_probability", "machine_probability", "noise_alone", "clean_alone",
                  "silence")  # fmt: skip
        check_ranges(
            "mix", self,
            {"seconds": (0.1, 60), "snr_db": (-100, 150), "level_dbfs": (-150, 0), "speed": (0, 0.9), "noise_speed": (0, 3),
             "tilt": (0, 0.499), **dict.fromkeys(shares, (0, 1))},
        )  # fmt: skip
        for names in (("noise_alone", "clean_alone", "silence"), ("white_probability", "machine_probability")):
            total = sum(getattr(self, name) for name in names)
            _require(total <= 1, " + ".join(names), total, "must not exceed 1")


def _require(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise EdgernnError(f"mix: {name} = {shown(value)} {rule}")


@dataclass(frozen=True)
class Pair:
    """noisy and clean, int16 [n]."""

    noisy: Int16
    clean: Int16


class Mixer:
    """Draws pairs from a split of a dataset; each call advances `rng`."""

    def __init__(self, config: MixConfig, dataset: Dataset, split: str, rng: np.random.Generator) -> None:
        self.config, self.data, self.rng = config, dataset, rng
        self.samples = round(config.seconds * SAMPLE_RATE)
        self.voices = _Groups(dataset.speech(split), lambda row: row.speaker)
        self.kinds = _Groups(dataset.noise(split), lambda row: row.word)
        # rooms are rare and say nothing about who speaks: those of the train split serve every split
        self._rooms = [to_float(dataset.pcm(row)) for row in dataset.rooms(split) or dataset.rooms("train")]
        self.check(split)

    def check(self, split: str) -> None:
        """Refuse a split that holds too little to mix."""
        if not self.voices.names or not self.kinds.names:
            missing = "running speech" if not self.voices.names else "noise"
            raise EdgernnError(f"the {split} split has no {missing}; add a data source with {missing.split()[-1]} = true")

    def __call__(self) -> Pair:
        """One pair of `seconds`."""
        c, rng = self.config, self.rng
        dry = self.filtered(self._spoken(self.data.pcm(self.voices.draw(self.rng))))
        speech, target = self.in_room(dry) if self._rooms and rng.random() < c.room_probability else (dry, dry)
        noise = self.noises()
        kind = rng.random()
        if kind < c.noise_alone:
            speech, target = np.zeros_like(speech), np.zeros_like(target)
        elif kind < c.noise_alone + c.clean_alone:
            noise, target = np.zeros_like(noise), speech
        elif kind < c.noise_alone + c.clean_alone + c.silence:
            noise, speech, target = (np.zeros_like(noise) for _ in range(3))
        else:
            noise = noise * gain_for_snr(target, noise, rng.uniform(*c.snr_db))
        mixture = speech + noise
        level = 10 ** (rng.uniform(*c.level_dbfs) / 20) / np.sqrt(_power(mixture))
        scale = np.float32(min(level, _FULL / max(float(np.abs(mixture).max()), 1e-9)))
        return Pair(to_int16(mixture * scale), to_int16(target * scale))

    def stream(self, seconds: float) -> Int16:
        """Noisy sound of about so many seconds: pairs end to end, at least one."""
        return np.concatenate([self().noisy for _ in range(max(1, round(seconds / self.config.seconds)))])

    def _spoken(self, pcm: Int16) -> Float32:
        """A cut of speech [samples] at a random speed; a shorter recording lies anywhere in silence."""
        speed = 1 + self.rng.uniform(-self.config.speed, self.config.speed)
        wanted = int(np.ceil(self.samples * speed)) + 1
        begin = int(self.rng.integers(max(1, len(pcm) - wanted + 1)))
        x = warped(to_float(pcm[begin : begin + wanted]), speed)[: self.samples]
        out = np.zeros(self.samples, np.float32)
        begin = int(self.rng.integers(self.samples - len(x) + 1))
        out[begin : begin + len(x)] = x
        return out

    def _sounded(self, pcm: Int16) -> Float32:
        """A cut of noise [samples] at a random speed; a shorter recording is repeated from a random place."""
        speed = (1 + self.config.noise_speed) ** self.rng.uniform(-1, 1)
        wanted = int(np.ceil(self.samples * speed)) + 1
        if len(pcm) < wanted:
            pcm = np.resize(np.roll(pcm, int(self.rng.integers(len(pcm)))), wanted)
        begin = int(self.rng.integers(len(pcm) - wanted + 1))
        return warped(to_float(pcm[begin : begin + wanted]), speed)[: self.samples]

    def filtered(self, x: Float32) -> Float32:
        """Another microphone: (1 + a/z + b/z^2) / (1 + c/z + d/z^2), coefficients random (Valin 2018, eq. 7)."""
        if not self.config.tilt:
            return x
        from scipy.signal import lfilter

        a, b, c, d = self.rng.uniform(-self.config.tilt, self.config.tilt, 4)
        return np.asarray(lfilter((1, a, b), (1, c, d), x), np.float32)

    def in_room(self, x: Float32) -> tuple[Float32, Float32]:
        """(with all reflections, with the early ones), the direct sound at its own level and time."""
        response = self._rooms[int(self.rng.integers(len(self._rooms)))]
        first = int(np.argmax(np.abs(response)))
        response = response[first : first + _LONGEST_ROOM] / np.float32(max(abs(float(response[first])), 1e-6))
        size = _fft_size(len(x) + len(response))
        spectrum = np.fft.rfft(x, size)
        wet, early = (
            np.fft.irfft(spectrum * np.fft.rfft(h, size), size)[: len(x)].astype(np.float32)
            for h in (response, response[:_EARLY])
        )
        return wet, early

    def in_made_room(self, x: Float32) -> Float32:
        """With reflections that nobody recorded: noise that dies away by 60 dB within 0.15 to 0.8 s, 3 to 15 dB below x."""
        rng, t = self.rng, np.arange(round(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(t)) * np.exp(-6.9 * t / rng.uniform(0.15, 0.8))
        tail[: round(rng.uniform(0.002, 0.015) * SAMPLE_RATE)] = 0
        tail *= np.sqrt(10 ** (rng.uniform(-15, -3) / 10) / np.sum(tail**2))
        tail[0] = 1
        size = len(x) + len(tail)
        return np.asarray(np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(tail, size), size)[: len(x)], np.float32)

    def noises(self) -> Float32:
        """One to three noises, each filtered; the further ones up to 15 dB softer."""
        total = self.one_noise()
        for _ in range(MOST_NOISES - 1):
            if self.rng.random() >= self.config.more_noise:
                break
            other = self.one_noise()
            total = total + other * gain_for_snr(total, other, self.rng.uniform(0, 15))
        return total

    def one_noise(self) -> Float32:
        """A recorded one, a white one, or one of a made-up machine, filtered."""
        kind = self.rng.random()
        if kind < self.config.white_probability:
            return self.filtered(to_float(make_noise("white", self.samples, self.rng)))
        if kind < self.config.white_probability + self.config.machine_probability:
            return self.filtered(to_float(make_noise("machine", self.samples, self.rng)))
        return self.filtered(self._sounded(self.data.pcm(self.kinds.draw(self.rng))))


class _Groups:
    """Rows by speaker or kind, drawn by the square root of each group's length."""

    def __init__(self, rows: Sequence[Row], name: Any) -> None:
        self._rows: dict[str, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(name(row), []).append(row)
        self.names = list(self._rows)
        lengths = np.sqrt([sum(row.length for row in self._rows[k]) for k in self.names])
        self._share = lengths / lengths.sum() if len(lengths) else lengths

    def draw(self, rng: np.random.Generator) -> Row:
        """A random row of a random group."""
        rows = self._rows[self.names[int(rng.choice(len(self.names), p=self._share))]]
        return rows[int(rng.integers(len(rows)))]


def warped(x: Float32, speed: float) -> Float32:
    """Played `speed` times as fast, linearly interpolated."""
    return np.asarray(np.interp(np.arange(0, len(x) - 1, speed), np.arange(len(x)), x), np.float32)


def _fft_size(samples: int) -> int:
    """A length that the FFT is fast at."""
    return -(-samples // 2048) * 2048


def _power(x: Float32) -> float:
    return float(np.mean(np.square(x))) + _LEAST_POWER


def gain_for_snr(signal: Float32, noise: Float32, snr_db: float) -> np.float32:
    """What brings `noise` to this SNR below `signal`; powers over the whole excerpt."""
    return np.float32(np.sqrt(_power(signal) / _power(noise) / 10 ** (snr_db / 10)))


# Mixtures to judge by ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """One mixture to be judged: its name, SNR in dB, kind of noise, and the pair."""

    name: str
    snr_db: float
    noise: str
    pair: Pair


@dataclass(frozen=True)
class Ingredients:
    """What a mixture to judge by is made of: clean speech, noises to be joined end to end, the SNR in dB, the kind of noise."""

    name: str
    snr_db: float
    noise: str
    clean: Int16
    noises: tuple[Int16, ...]


def mixture(x: Ingredients) -> Mixture:
    """The first 8 s of the speech in the noises joined end to end (repeated where they are short), powers over all of it.

    The sum and the clean reference are scaled by 0.7 / max(peak of the sum, 0.7).
    """
    speech = to_float(x.clean[: EVALUATION_SECONDS * SAMPLE_RATE]).astype(np.float64)
    noise = np.resize(np.concatenate([to_float(n) for n in x.noises]).astype(np.float64), len(speech))
    noise *= np.sqrt(np.sum(speech**2) / max(np.sum(noise**2), 1e-12) / 10 ** (x.snr_db / 10))
    scale = EVALUATION_PEAK / max(float(np.abs(speech + noise).max()), EVALUATION_PEAK)
    return Mixture(x.name, x.snr_db, x.noise, Pair(to_int16((speech + noise) * scale), to_int16(speech * scale)))


def make_mixtures(dataset: Dataset, split: str, count: int, seed: int) -> list[Mixture]:
    """`count` mixtures of a split, SNRs in turn, speech and kinds of noise at random by the seed."""
    return [mixture(x) for x in draw_ingredients(dataset, split, count, seed)]


def draw_ingredients(dataset: Dataset, split: str, count: int, seed: int) -> Iterator[Ingredients]:
    """What `make_mixtures` mixes."""
    rng = np.random.default_rng([seed, 11])
    speech, kinds = dataset.speech(split), _by_kind(dataset.noise(split))
    if not speech or not kinds:
        raise EdgernnError(f"the {split} split lacks speech or noise to mix; add a data source")
    names = sorted(kinds)
    for i in range(count):
        snr, kind = EVALUATION_SNRS[i % len(EVALUATION_SNRS)], names[int(rng.integers(len(names)))]
        row = speech[int(rng.integers(len(speech)))]
        order = rng.permutation(len(kinds[kind]))
        noises = tuple(dataset.pcm(kinds[kind][j]) for j in order)
        yield Ingredients(f"{split}{i}", float(snr), kind, dataset.pcm(row), noises)


def read_mixtures(path: Path) -> list[Mixture]:
    """Mixtures listed in a CSV: columns id, snr_db, clean, noise (paths joined by `;`), noise_label.

    Paths are relative to the CSV. A missing column or file, or a number that is none, is an EdgernnError that names it.
    """
    return [mixture(x) for x in read_ingredients(path)]


def read_ingredients(path: Path) -> Iterator[Ingredients]:
    """What `read_mixtures` mixes."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgernnError(f"cannot read the list of mixtures {path}: {error}") from None
    if not rows:
        raise EdgernnError(f"the list of mixtures {path} is empty")
    for row in rows:
        yield _listed(path, row)


def _listed(path: Path, row: Mapping[str, str]) -> Ingredients:
    if None in row.values():
        raise EdgernnError(f"{path}: row {row.get('id')} has fewer cells than the header; complete it")
    try:
        noises = tuple(read_audio(path.parent / name) for name in row["noise"].split(";"))
        clean = read_audio(path.parent / row["clean"])
        return Ingredients(row["id"], float(row["snr_db"]), row["noise_label"], clean, noises)
    except KeyError as error:
        raise EdgernnError(f"{path} has no column {error}; it needs id, snr_db, clean, noise, noise_label") from None
    except ValueError as error:
        raise EdgernnError(f"{path}: row {row['id']}: {error}") from None


def _by_kind(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.word, []).append(row)
    return kinds
