"""Golden vectors: a signal that Python and C generate alike, and the checksums of what the definition computes for it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.runtimes.numpy import NumpyRuntime

GOLDEN_STEPS = 16


def golden_signal(step_samples: int, steps: int) -> NDArray[np.int16]:
    """Noise of a linear congruential generator, 6 dB quieter each step of eight."""
    seed, out = 1, np.zeros(step_samples * steps, np.int64)
    for i in range(len(out)):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = (seed >> 16) - 32768 >> (i // step_samples % 8)
    return out.astype(np.int16)


def golden_checksums(g: NetGraph) -> list[int]:
    """CRC-32 of posteriors and output, step after step, up to the end of each step of the golden signal."""
    trace = NumpyRuntime(g).run(golden_signal(g.step_samples, GOLDEN_STEPS))
    assert trace.output is not None  # `run` always gives one
    crc, found = 0, []
    for posteriors, output in zip(trace.posteriors, trace.output, strict=True):
        crc = zlib.crc32(_little(output), zlib.crc32(_little(posteriors), crc))
        found.append(crc)
    return found


def _little(a: NDArray[Any]) -> bytes:
    """As a little-endian core holds it."""
    return a.astype(a.dtype.newbyteorder("<")).tobytes()
