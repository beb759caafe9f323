"""Streams of band energies, mixed anew for every update from the banks: noises added, filtered, moving; levels, microphones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.data.mixing import MOST_NOISES
from edgernn.signal.audio import Float32
from edgernn.signal.log_mel import FrontEndParams, make_tables
from edgernn.tasks.vad.banks import Banks, full_scale
from edgernn.tasks.vad.recipe import StreamMix
from edgernn.tasks.vad.streams import with_pauses
from edgernn.tasks.vad.truth import Bools

_DB = np.float32(1 / 3.0103)  #: octaves of power a dB
_CROSS = 0.85  #: how much of two sounds' random phases is left in a band
_PEAK = 0.3  #: most energy of a frame, of full scale's
_PHASES = 4096


class FreshStreams:
    """Draws batches; all follow the generator they are given."""

    def __init__(self, mix: StreamMix, frontend: FrontEndParams, banks: Banks) -> None:
        self._mix, self._banks = mix, banks
        self._floor = np.float32(2.0**frontend.floor_log2)
        self._around = np.stack([with_pauses(said) for said in banks.said])
        self._octave, self._full = _octaves(frontend), np.float32(full_scale(frontend))
        deviation = np.sqrt(0.5 / _independent_bins(frontend))
        phases = np.random.default_rng(0).standard_normal((_PHASES, frontend.bands)) * deviation
        self._phases = np.clip(phases, -0.98, 0.98).astype(np.float32)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], Bools]:
        """Features log2 Q9 [count, T, bands] as the front end gives them, and which frames are speech, [count, T]."""
        pick = rng.integers(len(self._banks.talk), size=count)
        said = self._banks.said[pick]
        talk = np.exp2(self._banks.talk[pick].astype(np.float32) / 512 + _DB * self._filters(count, 0.6, rng)[:, None])
        noise = self._noises(count, rng)
        self._set_snr(talk, noise, self._around[pick].astype(np.float32), rng)
        kind, c = rng.random(count), self._mix
        quiet = (kind < c.noise_alone) | ~said.any(1)
        talk[quiet], said = 0, said & ~quiet[:, None]
        noise[~quiet & (kind >= c.noise_alone) & (kind < c.noise_alone + c.clean_alone)] *= np.float32(1e-6)
        whole = talk + noise + 2 * np.float32(_CROSS) * self._crossing(count, talk.shape[1], rng) * np.sqrt(talk * noise)
        whole *= self._levels(whole, rng)[:, None]
        return np.rint(512 * np.log2(whole + self._floor)).astype(np.int16), said

    def _set_snr(self, talk: Float32, noise: Float32, where: Float32, rng: np.random.Generator) -> None:
        """Bring noise [count, T, bands] to its SNR, in place, over speech and its short pauses."""
        share, energy = np.maximum(where.sum(1), 1), _energy(noise)
        power, other = (_energy(talk) * where).sum(1) / share, (energy * where).sum(1) / share
        other = np.maximum(
            other, 1e-3 * energy.mean(1)
        )  # a noise that is nearly absent then must not be drawn up beyond measure
        gain = (
            np.where(power > 0, power, other) / np.maximum(other, 1.0) / 10 ** (rng.uniform(*self._mix.snr_db, len(talk)) / 10)
        )
        noise *= gain.astype(np.float32)[:, None, None]

    def _levels(self, whole: Float32, rng: np.random.Generator) -> Float32:
        """Gains [count, bands]: a level of the loudest tenth of frames, and a microphone."""
        energy, count = _energy(whole), len(whole)
        loud, peak = np.maximum(np.percentile(energy, 90, axis=1), 1e-3), np.maximum(energy.max(1), 1e-3)
        scale = self._full * np.minimum(10 ** (rng.uniform(*self._mix.level_dbfs, count) / 10) / loud, _PEAK / peak)
        gains: Float32 = (scale[:, None] * 10 ** (self._filters(count, 0.25, rng) / 10)).astype(np.float32)
        return gains

    def _crossing(self, count: int, frames: int, rng: np.random.Generator) -> Float32:
        rows = rng.integers(_PHASES - frames, size=count) if frames < _PHASES else np.zeros(count, int)
        return np.stack([np.resize(self._phases[r : r + frames], (frames, self._phases.shape[1])) for r in rows])

    def _noises(self, count: int, rng: np.random.Generator) -> Float32:
        """Energies [count, T, bands] of one to four noises, the further ones up to 15 dB softer."""
        total, which = self._one(count, rng), np.arange(count)
        for _ in range(MOST_NOISES):
            which = which[rng.random(len(which)) < self._mix.more_noise]
            if not len(which):
                break
            other = self._one(len(which), rng)
            gain = _mean(total[which]) / _mean(other) * 10 ** (-rng.uniform(0, 15, len(which)) / 10)
            total[which] += other * gain.astype(np.float32)[:, None, None]
        return total

    def _one(self, count: int, rng: np.random.Generator) -> Float32:
        """One noise each, from anywhere in its stem, filtered, some of them moving."""
        pick = rng.integers(len(self._banks.noise), size=count)
        logs = np.stack([np.roll(self._banks.noise[i], -int(rng.integers(self._banks.noise.shape[1])), 0) for i in pick])
        db: Float32 = (
            self._filters(count, self._mix.noise_filter, rng)[:, None] + self._moves(count, logs.shape[1], rng)[:, :, None]
        )
        return np.exp2(logs.astype(np.float32) / 512 + _DB * db)

    def _filters(self, count: int, strength: float, rng: np.random.Generator) -> Float32:
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

    def _moves(self, count: int, frames: int, rng: np.random.Generator) -> Float32:
        """dB [count, T]: still, a step, slow wandering, or there for a while only."""
        out, t = np.zeros((count, frames), np.float32), np.arange(frames)
        for i in np.flatnonzero(rng.random(count) < self._mix.noise_change):
            kind = rng.random()
            if kind < 0.35:
                out[i] = rng.uniform(-20, 20) * np.clip((t - rng.integers(frames)) / 10 ** rng.uniform(0, 2), 0, 1)
            elif kind < 0.8:
                knots = int(rng.integers(3, 25))
                out[i] = np.interp(t, np.linspace(0, frames, knots), rng.uniform(-10, 10, knots))
            else:
                begin, end = np.sort(rng.integers(0, frames, 2))
                out[i] = -40 * np.clip(np.maximum(begin - t, t - end) / 10 ** rng.uniform(0, 1.5), 0, 1)
        return out


def _energy(x: Float32) -> Float32:
    """Sum over bands [count, T]; a matrix product is quicker than a sum."""
    return np.asarray(x @ np.ones(x.shape[2], np.float32), np.float32)


def _mean(x: Float32) -> Float32:
    return np.asarray(np.maximum(_energy(x).mean(1), 1e-3), np.float32)


def _octaves(p: FrontEndParams) -> Float32:
    """log2 of each band's centre in kHz."""
    low, high = (float(2595 * np.log10(1 + f / 700)) for f in (p.f_min, p.f_max))
    centres: NDArray[np.float64] = 0.7 * (10 ** (np.linspace(low, high, p.bands + 2)[1:-1] / 2595) - 1)
    return np.asarray(np.log2(centres), np.float32)


def _independent_bins(p: FrontEndParams) -> Float32:
    """How many independent bins a band averages, about: a triangle counts half, a window correlates neighbours."""
    start = make_tables(p).mel_start.astype(np.float32)
    return np.asarray(np.maximum(1, (start[2:] - start[:-2]) / 2 * 0.75), np.float32)
