"""Golden vectors: a signal that Python and C generate alike, and the posteriors the definition computes for it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.denoise.graph import DenoiseGraph
from edgernn.graph import Graph
from edgernn.runtimes.numpy import NumpyDenoiser, NumpyRuntime

GOLDEN_STEPS = 16


@dataclass(frozen=True)
class Golden:
    """steps of signal and int16 [steps, labels] posteriors."""

    steps: int
    posteriors: NDArray[np.int16]


def golden_signal(step_samples: int, steps: int) -> NDArray[np.int16]:
    """Noise of a linear congruential generator, 6 dB quieter each step of eight."""
    seed, out = 1, np.zeros(step_samples * steps, np.int64)
    for i in range(len(out)):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = (seed >> 16) - 32768 >> (i // step_samples % 8)
    return out.astype(np.int16)


def make_golden(g: Graph) -> Golden:
    """What the self-test on the board must reproduce."""
    trace = NumpyRuntime(g).run(golden_signal(g.step_samples, GOLDEN_STEPS))
    return Golden(GOLDEN_STEPS, trace.posteriors)


def denoised_checksums(g: DenoiseGraph) -> list[int]:
    """CRC-32 of a denoiser's output for the golden signal, up to the end of each step."""
    out = NumpyDenoiser(g).denoise(golden_signal(g.step_samples, GOLDEN_STEPS)).astype("<i2")
    return [zlib.crc32(out[: (step + 1) * g.step_samples].tobytes()) for step in range(GOLDEN_STEPS)]
