"""Clips made harder, and clips joined into one running stream; both follow the generator they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgernn.data.corpus import NOISE, SPEECH, UNKNOWN, Dataset, Row
from edgernn.errors import EdgernnError
from edgernn.ranges import check_ranges
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16

_FRAME = SAMPLE_RATE // 50  # 20 ms: the grain in which speech is told from the silence around it


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges are uniform, probabilities 0 to 1. All zero (and gain 0) leaves a clip as it is."""

    place: bool = True  # a recording shorter than the clip lies anywhere in it, not only at its start
    shift_ms: float = 100.0  # ± shift in time, zeros filled in
    speed: float = 0.15  # ± fraction; pitch follows
    room_probability: float = 0.2
    room_rt60_s: tuple[float, float] = (0.1, 0.6)  # seconds to decay by 60 dB
    room_direct_db: tuple[float, float] = (0.0, 12.0)  # dB of the direct sound over the reverberation
    gain_db: tuple[float, float] = (-12.0, 6.0)
    noise_probability: float = 0.8
    noise_snr_db: tuple[float, float] = (0.0, 25.0)  # against the clip's active part, after its gain
    silent_dbfs: tuple[float, float] = (-50.0, -20.0)  # noise level where the clip itself is silent

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        check_ranges(
            "augment", self,
            {"shift_ms": (0, 60_000), "speed": (0, 0.9), "room_probability": (0, 1), "room_rt60_s": (0.001, 20),
             "room_direct_db": (-100, 100), "gain_db": (-150, 100), "noise_probability": (0, 1), "noise_snr_db": (-100, 150),
             "silent_dbfs": (-150, 0)},
        )  # fmt: skip


class Augmenter:
    """Speed and shift, then room, gain, noise. `noise`: recordings to cut from; each call advances `rng`."""

    def __init__(self, config: AugmentConfig, noise: Sequence[Int16], rng: np.random.Generator) -> None:
        if config.noise_probability > 0 and not any(len(pcm) for pcm in noise):
            raise EdgernnError(
                "augmentation with noise needs noise recordings; add a noise source, or set noise_probability = 0"
            )
        self._config, self._noise, self._rng = config, noise, rng

    def __call__(self, pcm: Int16, context: Int16 | None = None) -> Int16:
        """int16 [n] -> int16 [n]; with `context` int16 [m], the sound heard just before the clip, -> int16 [m + n].

        Context and clip are varied each by itself; one noise runs through both, its SNR that of the clip.
        """
        config, rng = self._config, self._rng
        x = self._varied(pcm)
        before = self._varied(context) if context is not None and len(context) else np.zeros(0, np.float32)
        whole = np.concatenate([before, x])
        if rng.random() < config.noise_probability:
            whole = whole + self._scaled_noise(len(whole), active_power(x))
        return to_int16(whole)

    def _varied(self, pcm: Int16) -> Float32:
        """Speed, shift, room and gain; float [n]."""
        config, rng = self._config, self._rng
        speed = 1 + rng.uniform(-config.speed, config.speed)
        shift = rng.uniform(-config.shift_ms, config.shift_ms) * SAMPLE_RATE / 1000
        x = _warp(to_float(pcm), speed, shift)
        if rng.random() < config.room_probability:
            x = _reverberate(x, rng.uniform(*config.room_rt60_s), rng.uniform(*config.room_direct_db), rng)
        return x * np.float32(10 ** (rng.uniform(*config.gain_db) / 20))

    def _scaled_noise(self, samples: int, speech_power: float) -> Float32:
        config, rng = self._config, self._rng
        noise = cut(self._noise, samples, rng)
        power = active_power(noise)
        snr, level = rng.uniform(*config.noise_snr_db), rng.uniform(*config.silent_dbfs)
        wanted = speech_power / 10 ** (snr / 10) if speech_power else 10 ** (level / 10)
        return noise * np.float32(np.sqrt(wanted / power)) if power else noise


def active_power(x: Float32) -> float:
    """Mean square over the 20 ms frames within 20 dB of the loudest one; 0 for silence. x: float [n]."""
    whole = len(x) // _FRAME * _FRAME
    power = np.square(x[:whole]).reshape(-1, _FRAME).mean(axis=1) if whole else np.square(x)
    peak = power.max(initial=0.0)
    return float(power[power >= 0.01 * peak].mean()) if peak > 0 else 0.0


def cut(recordings: Sequence[Int16], samples: int, rng: np.random.Generator) -> Float32:
    """A random piece, float [samples], of a random recording; a short recording is repeated."""
    pcm = recordings[int(rng.integers(len(recordings)))]
    start = int(rng.integers(max(1, len(pcm) - samples + 1)))
    piece = to_float(pcm[start : start + samples])
    return piece if len(piece) == samples else np.resize(piece, samples)


def _warp(x: Float32, speed: float, shift: float) -> Float32:
    """Play x [n] `speed` times as fast about its middle, `shift` samples later: cubic, zeros outside."""
    middle = np.float32((len(x) - 1) / 2)
    at = (np.arange(len(x), dtype=np.float32) - middle - np.float32(shift)) * np.float32(speed) + middle
    padded = np.pad(x, 2)
    base = np.floor(at)
    t = at - base
    k = np.clip(base.astype(np.int32) + 2, 1, len(x) + 1)
    a, b, c, d = padded[k - 1], padded[k], padded[k + 1], padded[k + 2]
    y = b + np.float32(0.5) * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.where((at >= 0) & (at <= len(x) - 1), y, np.float32(0))


def _reverberate(x: Float32, rt60: float, direct_db: float, rng: np.random.Generator) -> Float32:
    """Convolve x [n] with a unit direct path and an exponentially decaying noise tail, cut back to [n]."""
    length = max(1, int(rt60 * SAMPLE_RATE * 2 / 3))  # the part within 40 dB of its start
    decay = np.exp(np.linspace(0, -4.6, length, dtype=np.float32))
    tail = rng.standard_normal(length, dtype=np.float32) * decay
    tail[: SAMPLE_RATE // 500] = 0  # the first reflection comes 2 ms after the direct sound
    tail *= np.float32(10 ** (-direct_db / 20) / max(float(np.linalg.norm(tail)), 1e-9))
    size = -(-(len(x) + length) // 2048) * 2048  # a length that the FFT is fast at
    wet = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(tail, size), size)[: len(x)]
    return x + wet.astype(np.float32)


# Streams ---------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamConfig:
    """How `make_stream` fills a stream."""

    keyword_fraction: float = 0.2  # of drawn clips; unused when every row is placed once
    gap_s: tuple[float, float] = (0.3, 1.5)  # noise alone between two stretches of speech
    run_on_probability: float = 0.5  # an unknown clip follows without a gap
    noise_snr_db: tuple[float, float] | None = (5.0, 25.0)  # against typical speech; None: no noise


Span = tuple[int, int, str]


def make_stream(
    rows: Sequence[Row],
    dataset: Dataset,
    rng: np.random.Generator,
    seconds: float | None = None,
    config: StreamConfig | None = None,
) -> tuple[Int16, list[Span]]:
    """Keywords in running speech and noise: (int16 [n] at 16 kHz, spans of (first sample, end, label)).

    `seconds` None: every row exactly once, in random order. Otherwise clips are drawn until the stream is
    full; it is `seconds` long and no clip is cut. Noise comes from the dataset's noise of the rows' split.
    Spans are in order, do not overlap, and name unknown clips too. Equal generator states, equal streams.
    """
    config = config or StreamConfig()
    rows = [row for row in rows if row.label != NOISE]
    if not rows:
        raise EdgernnError("a stream needs clips; this split has none")
    limit = None if seconds is None else round(seconds * SAMPLE_RATE)
    placed, end = _place(rows, rng, limit, config)
    pcm = np.zeros(end if limit is None else limit, np.int16)
    if config.noise_snr_db is not None:
        _fill_noise(pcm, rows, dataset, rng, config.noise_snr_db)
    for start, row in placed:
        span = slice(start, start + row.length)
        pcm[span] = to_int16(to_float(pcm[span]) + to_float(dataset.pcm(row)))
    return pcm, [(start, start + row.length, row.label) for start, row in placed]


def _place(
    rows: Sequence[Row], rng: np.random.Generator, limit: int | None, config: StreamConfig
) -> tuple[list[tuple[int, Row]], int]:
    """([(start, row)], samples in all)."""
    placed: list[tuple[int, Row]] = []
    end = 0
    for row in _order(rows, rng, limit is not None, config.keyword_fraction):
        gap = round(rng.uniform(*config.gap_s) * SAMPLE_RATE)
        runs_on = bool(placed) and row.label == UNKNOWN and rng.random() < config.run_on_probability
        start = end if runs_on else end + gap
        if limit is not None and start + row.length > limit:
            break
        placed.append((start, row))
        end = start + row.length
    return placed, end + round(config.gap_s[1] * SAMPLE_RATE)


def _order(rows: Sequence[Row], rng: np.random.Generator, endless: bool, fraction: float) -> Iterator[Row]:
    if not endless:
        yield from (rows[index] for index in rng.permutation(len(rows)))
        return
    other = (UNKNOWN, SPEECH)
    keywords = [row for row in rows if row.label not in other]
    unknown = [row for row in rows if row.label in other]
    while True:
        wanted = keywords if rng.random() < fraction else unknown
        group = wanted or rows
        yield group[int(rng.integers(len(group)))]


def _fill_noise(
    pcm: Int16, rows: Sequence[Row], dataset: Dataset, rng: np.random.Generator, snr_db: tuple[float, float]
) -> None:
    """Noise recordings end to end, each at an SNR of its own."""
    noise = [dataset.pcm(row) for row in dataset.noise(rows[0].split)]
    if not noise:
        raise EdgernnError(f"there is no {rows[0].split} noise; add a noise source")
    sample = [rows[index] for index in rng.integers(len(rows), size=min(len(rows), 100))]
    speech = float(np.median([active_power(to_float(dataset.pcm(row))) for row in sample]))
    start = 0
    while start < len(pcm):
        piece = to_float(noise[rng.integers(len(noise))])[: len(pcm) - start]
        scale = np.sqrt(speech / 10 ** (rng.uniform(*snr_db) / 10) / max(active_power(piece), 1e-12))
        pcm[start : start + len(piece)] = to_int16(piece * np.float32(scale))
        start += len(piece)
