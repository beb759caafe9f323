"""Generated background noise: coloured, mains hum, impulses, babble mixed from speech, and machines.

KINDS is what the synthetic sources carry. A machine is left to whoever mixes: every one sounds different.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16

KINDS = ("white", "pink", "brown", "hum50", "hum60", "impulses", "babble")
_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls as 1 / f**slope
_BABBLE_VOICES = 6
_HARMONICS = 60


def make_noise(kind: str, samples: int, rng: np.random.Generator, speech: Sequence[Int16] = ()) -> Int16:
    """int16 [samples] of one of KINDS or "machine", peak 0.1 to 0.7 at random; babble mixes `speech` (none: white)."""
    if kind.startswith("hum"):
        x = _hum(float(kind[3:]), samples, rng)
    elif kind == "machine":
        x = _machine(samples, rng)
    elif kind == "impulses":
        x = _impulses(samples, rng)
    elif kind == "babble" and speech:
        x = _babble(samples, rng, speech)
    else:
        x = _coloured(_SLOPES.get(kind, 0.0), samples, rng)
    return to_int16(x * np.float32(rng.uniform(0.1, 0.7) / max(float(np.abs(x).max()), 1e-9)))


def _coloured(slope: float, samples: int, rng: np.random.Generator) -> Float32:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return np.fft.irfft(spectrum / frequency**slope, samples).astype(np.float32)


def _hum(mains: float, samples: int, rng: np.random.Generator) -> Float32:
    t = np.arange(samples) / SAMPLE_RATE
    x = 0.02 * rng.standard_normal(samples)
    for harmonic in range(1, 13):
        level = rng.uniform(0.2, 1.0) / harmonic
        x += level * np.sin(2 * np.pi * (mains * harmonic * t + rng.uniform()))
    return x.astype(np.float32)


def _machine(samples: int, rng: np.random.Generator) -> Float32:
    """Motors, fans, rotors, blades: harmonics of a wandering fundamental, and coloured noise that beats with the turns."""
    t = np.arange(samples) / SAMPLE_RATE
    fundamental = 25.0 * 16.0 ** rng.uniform()  # Hz, up to 400
    wander = rng.uniform(0, 0.03) * np.sin(2 * np.pi * (rng.uniform(0.1, 2.0) * t + rng.uniform()))
    turn = np.exp(2j * np.pi * np.cumsum(fundamental * (1 + wander)) / SAMPLE_RATE)
    count = max(1, min(_HARMONICS, int(0.45 * SAMPLE_RATE / fundamental)))
    slope = rng.uniform(0, 1.5)
    levels = np.exp(rng.normal(size=count) + 2j * np.pi * rng.uniform(size=count)) / np.arange(1, count + 1) ** slope
    tone = np.polyval([*levels[::-1], 0], turn).real
    beat = 1 + rng.uniform(0, 0.95) * np.sin(2 * np.pi * (2.0 * 20.0 ** rng.uniform() * t + rng.uniform()))
    rush = _coloured(rng.uniform(0, 1.2), samples, rng)
    share = 10 ** (rng.uniform(-15, 15) / 20)
    return np.asarray((tone / max(float(tone.std()), 1e-9) + share * rush / rush.std()) * beat, np.float32)


def _impulses(samples: int, rng: np.random.Generator) -> Float32:
    """Clicks and knocks, about three a second: short decaying bursts over a faint floor."""
    x = 0.002 * rng.standard_normal(samples)
    for start in rng.integers(0, max(1, samples), size=3 * samples // SAMPLE_RATE + 1):
        length = min(int(rng.integers(40, 1600)), samples - int(start))
        decay = np.exp(-np.arange(length) / (length / 6))
        x[start : start + length] += rng.uniform(0.1, 1.0) * decay * rng.standard_normal(length)
    return x.astype(np.float32)


def _babble(samples: int, rng: np.random.Generator, speech: Sequence[Int16]) -> Float32:
    x = np.zeros(samples, np.float32)
    for _ in range(_BABBLE_VOICES):
        position = -int(rng.integers(0, SAMPLE_RATE))
        while position < samples:
            clip = to_float(speech[int(rng.integers(len(speech)))])
            first = max(0, -position)
            part = clip[first : first + samples - max(0, position)]
            x[max(0, position) : max(0, position) + len(part)] += part
            position += len(clip) + int(rng.integers(0, SAMPLE_RATE // 4))
    return x
