"""Streams as sound: utterances with gaps between them, in rooms and in noise that may change, and where they are speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixer, gain_for_snr, warped
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16
from edgernn.tasks.vad.recipe import StreamMix
from edgernn.tasks.vad.truth import GRID, Bools, speech_frames, stretches

_LONGEST = 8 * SAMPLE_RATE  #: of a recording that an utterance is cut from, and whose percentiles its labels follow
_PAUSE = 30  #: frames: shorter pauses count as speech where the SNR is set
_BLOCK = SAMPLE_RATE // 10


class Streams(Mixer):
    """Draws streams from a split; each draw advances the generator."""

    def __init__(self, config: StreamMix, dataset: Dataset, split: str, rng: np.random.Generator) -> None:
        super().__init__(config, dataset, split, rng)
        self.mix = config

    def draw(self) -> tuple[Int16, Bools]:
        """PCM [n] and which of its 10 ms frames are speech, bool [n // GRID]."""
        c, rng = self.mix, self.rng
        dry, said = self.utterances()
        speech = self.in_room(dry)[0] if self._rooms and rng.random() < c.room_probability else dry
        noise, kind = self._changing_noise(), rng.random()
        if kind < c.noise_alone or not said.any():
            speech, said = np.zeros_like(speech), np.zeros_like(said)
        elif kind < c.noise_alone + c.clean_alone:
            noise = noise * np.float32(1e-4)
        elif kind < c.noise_alone + c.clean_alone + c.silence:
            noise, speech, said = np.zeros_like(noise), np.zeros_like(speech), np.zeros_like(said)
        else:
            where = np.repeat(with_pauses(said), GRID)
            noise = noise * gain_for_snr(dry[: len(where)][where], noise[: len(where)][where], rng.uniform(*c.snr_db))
        return to_int16(self._levelled(speech + noise)), said

    def _levelled(self, x: Float32) -> Float32:
        """At a random level of its loudest tenth, below full scale."""
        blocks = np.sqrt(np.mean(x[: len(x) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) ** 2, axis=1))
        loud = max(float(np.percentile(blocks, 90)), 1e-5)
        wanted = 10 ** (self.rng.uniform(*self.mix.level_dbfs) / 20) / loud
        return x * np.float32(min(wanted, 0.99 / max(float(np.abs(x).max()), 1e-9)))

    def utterances(self) -> tuple[Float32, Bools]:
        """Utterances of one or more speakers with gaps: float [samples], and where they are speech."""
        c, rng = self.mix, self.rng
        out, said = np.zeros(self.samples, np.float32), np.zeros(self.samples // GRID, bool)
        position = 0 if rng.random() < 0.25 else round(rng.uniform(*c.gap_s) * 100)
        row = self.voices.draw(rng)
        while position < len(said):
            x, labels = self._utterance(self.data.pcm(row))
            count = min(len(labels), len(said) - position)
            out[position * GRID : (position + count) * GRID] += x[: count * GRID]
            said[position : position + count] |= labels[:count]
            position += count + round(rng.uniform(*c.gap_s) * 100)
            if rng.random() < 0.5:
                row = self.voices.draw(rng)
        return self.filtered(out), said

    def _utterance(self, pcm: Int16) -> tuple[Float32, Bools]:
        """Some seconds of a recording at a random speed and level, and where they are speech."""
        c, rng = self.mix, self.rng
        speed = 1 + rng.uniform(-c.speed, c.speed)
        wanted = round(rng.uniform(*c.utterance_s) * SAMPLE_RATE)
        begin = int(rng.integers(max(1, len(pcm) - wanted + 1))) if rng.random() < 0.6 else 0
        x = warped(to_float(pcm[begin : begin + _LONGEST]), speed)
        labels = speech_frames(to_int16(x))  # its percentiles are those of up to 8 s, as in judging
        frames = min(wanted // GRID, len(labels))
        x, labels = x[: frames * GRID], labels[:frames]
        loud = x[np.repeat(labels, GRID)]
        level = np.sqrt(max(float(np.mean(loud**2)) if len(loud) else 0.0, 1e-8))
        fade = min(GRID, len(x))
        x[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        return x * np.float32(0.05 / level * 10 ** (rng.uniform(-c.utterance_db, c.utterance_db) / 20)), labels

    def _changing_noise(self) -> Float32:
        """Noise that in some streams changes its level or kind within 6 ms to a second."""
        rng, noise = self.rng, self.noises()
        if rng.random() >= self.mix.noise_change:
            return noise
        at, width = int(rng.integers(len(noise))), int(10 ** rng.uniform(2, 4.2))
        ramp = np.clip((np.arange(len(noise)) - at) / width, 0, 1).astype(np.float32)
        if rng.random() < 0.5:
            return noise * (1 + ramp * np.float32(10 ** (rng.uniform(-20, 20) / 20) - 1))
        other = self.noises()
        other = other * gain_for_snr(noise, other, rng.uniform(-10, 10))
        return noise * (1 - ramp) + other * ramp


def with_pauses(said: Bools) -> Bools:
    """Speech and the short pauses in it."""
    out = said.copy()
    for begin, end in stretches(~said):
        if end - begin < _PAUSE and begin > 0 and end < len(said):
            out[begin:end] = True
    return out


def step_labels(said: Bools, step: int, steps: int, delay: float) -> NDArray[np.float32]:
    """Where streams are speech [S, frames] -> what each step of `step` frames should answer, float [S, steps] in 0..1.

    delay: frames. The answer is the share of speech in the step's own time, `delay` earlier.
    """
    total = np.concatenate([np.zeros((len(said), 1)), np.cumsum(said, axis=1)], axis=1)
    end = (np.arange(steps, dtype=np.float64) + 1) * step - delay

    def until(t: NDArray[np.float64]) -> NDArray[np.float64]:
        t = np.clip(t, 0, said.shape[1])
        low = np.minimum(t.astype(int), said.shape[1] - 1)
        return np.asarray(total[:, low] + (t - low) * (total[:, low + 1] - total[:, low]))

    return ((until(end) - until(end - step)) / step).astype(np.float32)
