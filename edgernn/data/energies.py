"""Sounds added as band energies: filtered, at any level, in microseconds; so that no two updates of a training are alike.

Sound becomes band energies before it is mixed, not after: every update can hear a mixture that none has heard before, for a
tenth of what it costs to learn from it. A few thousand mixtures that are heard again and again are learnt by heart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgernn.signal import native
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_int16
from edgernn.signal.log_mel import FrontEndParams, make_tables

DB = np.float32(1 / 3.0103)  #: octaves of power a dB
LEVEL = 0.1  #: rms of what goes into the front end: far above its floor, far below full scale
_CROSS = 0.85  #: how much of two sounds' random phases is left in a band
_PHASES = 4096


def without_floor(frontend: FrontEndParams) -> FrontEndParams:
    """The front end of sounds that will be mixed: the floor is added afterwards."""
    return replace(frontend, floor_log2=0)


def levelled(x: Float32) -> Int16:
    """Sound at LEVEL, or as much of it as does not clip."""
    rms = max(float(np.sqrt(np.mean(np.square(x)))), 1e-9)
    return to_int16(x * np.float32(min(LEVEL / rms, 0.99 / max(float(np.abs(x).max()), 1e-9))))


def full_scale(frontend: FrontEndParams) -> float:
    """The band energies of a sound with an rms of full scale, summed."""
    white = to_int16((LEVEL * np.random.default_rng(0).standard_normal((1, 2 * SAMPLE_RATE))).astype(np.float32))
    bare = without_floor(frontend)
    logs = native.log_mels(white, bare, make_tables(bare))[0, 5:]
    return float(np.exp2(logs / 512).sum(1).mean() / LEVEL**2)


class Energies:
    """Band energies of one front end, float32 [N, T, bands]: from features and back, filters, sums."""

    def __init__(self, frontend: FrontEndParams) -> None:
        self.full_scale = np.float32(full_scale(frontend))  #: see `full_scale`
        self._floor = np.float32(2.0**frontend.floor_log2)
        self._octave = _octaves(frontend)
        deviation = np.sqrt(0.5 / _independent_bins(frontend))
        phases = np.random.default_rng(0).standard_normal((_PHASES, frontend.bands)) * deviation
        self._phases = np.clip(phases, -0.98, 0.98).astype(np.float32)

    def to_features(self, energies: Float32) -> Int16:
        """Log2 Q9 as the front end gives them, with its floor."""
        return np.asarray(np.rint(512 * np.log2(energies + self._floor)), np.int16)

    def sum(self, a: Float32, b: Float32, rng: np.random.Generator) -> Float32:
        """Two sounds at a time; in a band they add up by their phases, which are drawn."""
        crossing = 2 * np.float32(_CROSS) * self._crossing(len(a), a.shape[1], rng)
        return np.asarray(a + b + crossing * np.sqrt(a * b), np.float32)

    def filters(self, count: int, strength: float, rng: np.random.Generator) -> Float32:
        """dB [count, bands]: a tilt, up to three peaks, sometimes a low or a high cut."""
        o = self._octave[None]

        def column(low: float, high: float) -> NDArray[np.float64]:
            return rng.uniform(low, high, (count, 1))

        out = column(-1.5, 1.5) * o  # dB an octave about 1 kHz
        for _ in range(3):
            height = column(-14, 14) * (rng.random((count, 1)) < 0.5)
            out = out + height * np.exp(-0.5 * ((o - column(-3.3, 3)) / 2 ** column(-2.3, 0.6)) ** 2)
        low, high, slope = np.log2(column(0.1, 0.5)), np.log2(column(2, 7)), column(6, 30)
        cuts = (rng.random((count, 1)) < 0.2) * np.maximum(0, low - o) + (rng.random((count, 1)) < 0.2) * np.maximum(
            0, o - high
        )
        return np.asarray(strength * out - slope * cuts, np.float32)

    def _crossing(self, count: int, frames: int, rng: np.random.Generator) -> Float32:
        rows = rng.integers(_PHASES - frames, size=count) if frames < _PHASES else np.zeros(count, int)
        return np.stack([np.resize(self._phases[r : r + frames], (frames, self._phases.shape[1])) for r in rows])


def of_logs(logs: Int16) -> Float32:
    """Features log2 Q9 without a floor -> energies."""
    return np.asarray(np.exp2(logs.astype(np.float32) / 512), np.float32)


def summed(x: Float32) -> Float32:
    """Over bands: [..., bands] -> [...]; a matrix product is quicker than a sum."""
    return np.asarray(x @ np.ones(x.shape[-1], np.float32), np.float32)


def _octaves(p: FrontEndParams) -> Float32:
    """log2 of each band's centre in kHz."""
    low, high = (float(2595 * np.log10(1 + f / 700)) for f in (p.f_min, p.f_max))
    centres: NDArray[np.float64] = 0.7 * (10 ** (np.linspace(low, high, p.bands + 2)[1:-1] / 2595) - 1)
    return np.asarray(np.log2(centres), np.float32)


def _independent_bins(p: FrontEndParams) -> Float32:
    """How many independent bins a band averages, about: a triangle counts half, a window correlates neighbours."""
    start = make_tables(p).mel_start.astype(np.float32)
    return np.asarray(np.maximum(1, (start[2:] - start[:-2]) / 2 * 0.75), np.float32)
