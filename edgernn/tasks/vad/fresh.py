"""Streams of band energies, mixed anew for every update from the banks: noises added, filtered, moving; levels, microphones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.data.energies import DB, Energies, of_logs, summed
from edgernn.data.mixing import MOST_NOISES
from edgernn.signal.audio import Float32
from edgernn.signal.log_mel import FrontEndParams
from edgernn.tasks.vad.banks import Banks
from edgernn.tasks.vad.recipe import StreamMix
from edgernn.tasks.vad.streams import with_pauses
from edgernn.tasks.vad.truth import Bools

_PEAK = 0.3  #: most energy of a frame, of full scale's


class FreshStreams:
    """Draws batches; all follow the generator they are given."""

    def __init__(self, mix: StreamMix, frontend: FrontEndParams, banks: Banks) -> None:
        self._mix, self._banks = mix, banks
        self._around = np.stack([with_pauses(said) for said in banks.said])
        self._energies = Energies(frontend)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], Bools]:
        """Features log2 Q9 [count, T, bands] as the front end gives them, and which frames are speech, [count, T]."""
        pick = rng.integers(len(self._banks.talk), size=count)
        said = self._banks.said[pick]
        talk = of_logs(self._banks.talk[pick]) * np.exp2(DB * self._energies.filters(count, 0.6, rng)[:, None])
        noise = self._noises(count, rng)
        self._set_snr(talk, noise, self._around[pick].astype(np.float32), rng)
        kind, c = rng.random(count), self._mix
        quiet = (kind < c.noise_alone) | ~said.any(1)
        talk[quiet], said = 0, said & ~quiet[:, None]
        noise[~quiet & (kind >= c.noise_alone) & (kind < c.noise_alone + c.clean_alone)] *= np.float32(1e-6)
        whole = self._energies.sum(talk, noise, rng)
        whole *= self._levels(whole, rng)[:, None]
        return self._energies.to_features(whole), said

    def _set_snr(self, talk: Float32, noise: Float32, where: Float32, rng: np.random.Generator) -> None:
        """Bring noise [count, T, bands] to its SNR, in place, over speech and its short pauses."""
        share, energy = np.maximum(where.sum(1), 1), summed(noise)
        power, other = (summed(talk) * where).sum(1) / share, (energy * where).sum(1) / share
        other = np.maximum(
            other, 1e-3 * energy.mean(1)
        )  # a noise that is nearly absent then must not be drawn up beyond measure
        gain = (
            np.where(power > 0, power, other) / np.maximum(other, 1.0) / 10 ** (rng.uniform(*self._mix.snr_db, len(talk)) / 10)
        )
        noise *= gain.astype(np.float32)[:, None, None]

    def _levels(self, whole: Float32, rng: np.random.Generator) -> Float32:
        """Gains [count, bands]: a level of the loudest tenth of frames, and a microphone."""
        energy, count = summed(whole), len(whole)
        loud, peak = np.maximum(np.percentile(energy, 90, axis=1), 1e-3), np.maximum(energy.max(1), 1e-3)
        scale = self._energies.full_scale * np.minimum(
            10 ** (rng.uniform(*self._mix.level_dbfs, count) / 10) / loud, _PEAK / peak
        )
        gains: Float32 = (scale[:, None] * 10 ** (self._energies.filters(count, 0.25, rng) / 10)).astype(np.float32)
        return gains

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
            self._energies.filters(count, self._mix.noise_filter, rng)[:, None]
            + self._moves(count, logs.shape[1], rng)[:, :, None]
        )
        return np.asarray(of_logs(logs) * np.exp2(DB * db), np.float32)

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


def _mean(x: Float32) -> Float32:
    return np.asarray(np.maximum(summed(x).mean(1), 1e-3), np.float32)
