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

from edgernn.core import qmath
from edgernn.core.affine import Affine
from edgernn.errors import EdgernnError
from edgernn.ranges import shown
from edgernn.signal import fft
from edgernn.signal.log2 import POWER_SHIFT, log2_q9

Int16 = NDArray[np.int16]

MEL_WEIGHT_BITS = 12
_CHUNK_FRAMES = 2048  # bounds the memory of the vectorised FFT


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
        _require(1 <= self.sample_rate <= 384_000, "sample_rate", self.sample_rate, "must lie in 1..384000 Hz")
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
    def tables_type(self) -> type[FrontEndTables]:
        """The class of its tables."""
        return FrontEndTables

    @property
    def fft(self) -> int:
        """FFT length: the smallest power of two that holds the window."""
        return max(32, 1 << (self.window - 1).bit_length())


def _require(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise EdgernnError(f"front end: {name} = {shown(value)} {rule}")


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


class LogMelStream:
    """The front end as a stream: it carries the samples that a window reaches back beyond its hop."""

    def __init__(self, p: FrontEndParams, t: FrontEndTables, affine: Affine) -> None:
        self._params, self._tables, self._affine = p, t, affine
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._history = np.zeros(self._params.window - self._params.hop, np.int16)

    def features(self, pcm: Int16) -> Int16:
        """PCM [n] -> normalised features [n // hop, bands]; what is left over is dropped."""
        p = self._params
        pcm = pcm[: len(pcm) // p.hop * p.hop]
        out = self._affine.apply(log_mel(pcm, p, self._tables, self._history))
        heard = np.concatenate([self._history, pcm])
        self._history = heard[len(heard) - len(self._history) :].astype(np.int16)
        return out
