"""The audio front end: int16 PCM to normalised log-mel features, integers only (SPEC.md, "Front end").

This NumPy code is the definition; `firmware_export/runtime/ern_frontend.c` is its twin and equals it on every input.
Training reads these features, so the net sees on the board what it saw while learning.

    PCM int16 -> Hann window Q15 -> 512-point real FFT, every stage halved -> power -> mel bands -> log2 Q9 -> affine

No step can overflow: the halving keeps |X| below 2^30, and by Parseval's theorem a band's energy stays below 2^59.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn import fft, qmath
from edgernn.errors import EdgernnError

Int16 = NDArray[np.int16]

LOG_FRACTION_BITS = 9  #: log-energies are log2 in Q9: 512 steps an octave of power, 0.006 dB a step
LEAST_DEVIATION = 8.0  #: of a band, in Q9: a dead band must not become noise at full scale
FEATURE_LIMIT = 8.0  #: normalised features end here, in deviations: int16 at 2^-12, int8 at 2^-4
MEL_WEIGHT_BITS = 12
POWER_SHIFT = 12
_LOG_SEGMENT_BITS = 5
_CHUNK_FRAMES = 2048  # bounds the memory of the vectorised FFT

#: log2(1 + i/32) in Q15, i = 0..32
LOG2_TABLE = np.rint(32768 * np.log2(1 + np.arange(33) / 32)).astype(np.int64)


@dataclass(frozen=True)
class FrontEndParams:
    """What a recipe says about the front end. Lengths in samples, frequencies in Hz."""

    sample_rate: int = 16000
    window: int = 480
    hop: int = 320
    bands: int = 40
    f_min: float = 60.0
    f_max: float = 7600.0
    floor_log2: int = 24  #: 2^floor is added to each band's energy: quieter than this is silence to the net

    def __post_init__(self) -> None:
        """Refuse what the integer front end cannot hold."""
        _require(self.sample_rate > 0, "sample_rate", self.sample_rate, "must be positive")
        _require(16 <= self.window <= 1024, "window", self.window, "must lie in 16..1024 samples")
        _require(1 <= self.hop <= self.window, "hop", self.hop, f"must lie in 1..window ({self.window})")
        _require(1 <= self.bands <= 80, "bands", self.bands, "must lie in 1..80")
        nyquist = self.sample_rate / 2
        _require(
            0 < self.f_min < self.f_max <= nyquist,
            "f_min/f_max",
            (self.f_min, self.f_max),
            f"must satisfy 0 < f_min < f_max <= {nyquist:g} Hz",
        )
        _require(0 <= self.floor_log2 <= 40, "floor_log2", self.floor_log2, "must lie in 0..40")

    @property
    def fft(self) -> int:
        """FFT length: the smallest power of two that holds the window."""
        return max(32, 1 << (self.window - 1).bit_length())


def _require(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise EdgernnError(f"front end: {name} = {value} {rule}")


@dataclass(frozen=True)
class FrontEndTables:
    """The constants of one front end. They travel in the graph file, so nobody has to recompute a cosine.

    window    int16 [window], Hann in Q15
    cosine    int16 [3/4 fft], cos(2 pi k / fft) in Q15
    mel_start uint16 [bands + 2], first FFT bin of each slope between two mel edges, and the end of the last
    mel_rise  uint16 [mel_start[-1] - mel_start[0]], rising weight of each bin in Q12; falling is 4096 minus it
    """

    window: Int16
    cosine: Int16
    mel_start: NDArray[np.uint16]
    mel_rise: NDArray[np.uint16]


def make_tables(p: FrontEndParams) -> FrontEndTables:
    """Compute window, twiddle and mel tables from the parameters."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(p.window) + 0.5) / p.window)
    cosine = np.cos(2 * np.pi * np.arange(3 * p.fft // 4) / p.fft)
    edges = _mel_edges(p) * p.fft / p.sample_rate
    start = np.minimum(np.ceil(edges).astype(np.int64), p.fft // 2)  # rounding must not reach beyond Nyquist
    if np.any(start[2:] <= start[:-2]):
        band = int(np.argmax(start[2:] <= start[:-2]))
        raise EdgernnError(
            f"front end: mel band {band} of {p.bands} holds no FFT bin; use fewer bands, a longer window or a higher f_min"
        )
    bins = np.arange(start[0], start[-1])
    slope = np.searchsorted(start, bins, side="right") - 1
    rise = (bins - edges[slope]) / (edges[slope + 1] - edges[slope])
    return FrontEndTables(
        window=_q15(hann),
        cosine=_q15(cosine),
        mel_start=start.astype(np.uint16),
        mel_rise=np.rint(rise * (1 << MEL_WEIGHT_BITS)).astype(np.uint16),
    )


def _mel_edges(p: FrontEndParams) -> NDArray[np.float64]:
    """bands + 2 edges in Hz, equally spaced on the HTK mel scale 2595 log10(1 + f/700)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (p.f_min, p.f_max))
    return np.asarray(700 * (10 ** (np.linspace(low, high, p.bands + 2) / 2595) - 1))


def _q15(x: NDArray[np.float64]) -> Int16:
    return np.asarray(np.clip(np.rint(x * 32768), -32768, 32767), dtype=np.int16)


def frame(pcm: Int16, p: FrontEndParams, history: Int16 | None = None) -> Int16:
    """Cut PCM [n] into overlapping windows [n // hop, window]; `history` holds the window - hop samples before it."""
    past = np.zeros(p.window - p.hop, np.int16) if history is None else history
    count = len(pcm) // p.hop
    if count == 0:
        return np.zeros((0, p.window), np.int16)
    signal = np.concatenate([past, pcm[: count * p.hop]])
    return np.lib.stride_tricks.sliding_window_view(signal, p.window)[:: p.hop]


def log_mel(pcm: Int16, p: FrontEndParams, t: FrontEndTables, history: Int16 | None = None) -> Int16:
    """Log2 mel energies, Q9, int16 [n // hop, bands], of int16 PCM [n] at p.sample_rate."""
    frames = frame(pcm, p, history)
    blocks = [_log_mel_block(frames[i : i + _CHUNK_FRAMES], p, t) for i in range(0, len(frames), _CHUNK_FRAMES)]
    return np.concatenate(blocks) if blocks else np.zeros((0, p.bands), np.int16)


def _log_mel_block(frames: Int16, p: FrontEndParams, t: FrontEndTables) -> Int16:
    re, im = fft.real_spectrum(frames.astype(np.int64) * t.window, p.fft, t.cosine.astype(np.int64), qmath.mul_wide)
    power = (re * re + im * im) >> POWER_SHIFT
    energy = _mel_energy(power, p.bands, t) + (1 << p.floor_log2)
    return log2_q9(energy).astype(np.int16)


def _mel_energy(power: qmath.Ints, bands: int, t: FrontEndTables) -> qmath.Ints:
    """Triangular bands: [T, bins] -> [T, bands], weights in Q12, exact integer sums."""
    start = t.mel_start.astype(np.int64)
    weights = np.zeros((power.shape[1] + 1, bands), np.int64)
    for slope in range(bands + 1):
        bins = np.arange(start[slope], start[slope + 1])
        rise = t.mel_rise[bins - start[0]].astype(np.int64)
        if slope < bands:
            weights[bins, slope] += rise
        if slope > 0:
            weights[bins, slope - 1] += (1 << MEL_WEIGHT_BITS) - rise
    return power @ weights[: power.shape[1]]


def log2_q9(energy: qmath.Ints) -> qmath.Ints:
    """log2 in Q9 of positive integers below 2^62, 32 segments interpolated linearly; error below 0.7 of a step."""
    exponent = _floor_log2(energy)
    mantissa = (energy << (62 - exponent)) - (np.int64(1) << 62)
    index = mantissa >> (62 - _LOG_SEGMENT_BITS)
    fraction = (mantissa >> (62 - _LOG_SEGMENT_BITS - 8)) & 0xFF
    value = LOG2_TABLE[index] + (((LOG2_TABLE[index + 1] - LOG2_TABLE[index]) * fraction) >> 8)
    return (exponent << LOG_FRACTION_BITS) + qmath.round_shift(value, 15 - LOG_FRACTION_BITS)


def _floor_log2(x: qmath.Ints) -> qmath.Ints:
    """Position of the highest set bit of a positive int64, exact (a float log2 would not be)."""
    position = np.zeros_like(x)
    for step in (32, 16, 8, 4, 2, 1):
        high = (x >> step) > 0
        position += np.where(high, step, 0)
        x = np.where(high, x >> step, x)
    return position


@dataclass(frozen=True)
class Affine:
    """Per-band normalisation x = sat((L - offset) * gain, rounding shift): 0 is the training mean, 2^exponent a deviation.

    offset int16 [bands] in Q9 log2 units; gain int16 [bands] >= 1; shift in 1..24; exponent a: features are at 2^-a;
    bits 16 or 8: the width features saturate to.
    """

    offset: Int16
    gain: Int16
    shift: int
    exponent: int
    bits: int

    def apply(self, log_energy: Int16) -> Int16:
        """int16 [T, bands] log-energies -> normalised features at 2^-exponent, int16 or int8 range, carried as int16."""
        d = qmath.sat16(log_energy.astype(np.int64) - self.offset)
        x = qmath.round_shift(d * self.gain, self.shift)
        return np.asarray(qmath.sat16(x) if self.bits == 16 else qmath.sat8(x), dtype=np.int16)


def fit_affine(mean: NDArray[np.float64], deviation: NDArray[np.float64], bits: int = 16) -> Affine:
    """The affine that maps the train split's mean to 0 and its deviation to 1.0 at 2^-12 (int16) or 2^-4 (int8)."""
    exponent = 12 if bits == 16 else 4
    scale = 2.0**exponent / np.maximum(deviation, LEAST_DEVIATION)
    shift = int(min(24, np.floor(np.log2(32767 / scale.max()))))
    gain = np.maximum(1, np.rint(scale * 2.0**shift))
    return Affine(np.rint(mean).astype(np.int16), gain.astype(np.int16), shift, exponent, bits)
