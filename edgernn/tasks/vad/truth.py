"""Where clean speech is speech: the rule that labels training streams and that detectors are judged by.

On a grid of 10 ms a frame is speech when its level lies within clamp(P95 - P3 - 8, 25, 35) dB of the recording's 95th-
percentile level; gaps under 100 ms are closed, bursts under 60 ms removed. A fixed range of 35 dB would take the rumble and the
room of half of all recordings for speech.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.signal.audio import SAMPLE_RATE, Int16

GRID = SAMPLE_RATE // 100  #: samples of a frame, 10 ms
RANGE_DB = (25.0, 35.0)
LONGEST_GAP, SHORTEST_BURST = 10, 6  #: frames
Bools = NDArray[np.bool_]


def levels_db(pcm: Int16) -> NDArray[np.float64]:
    """Level in dBFS of each frame of PCM [n]: [n // GRID]."""
    x = pcm[: len(pcm) // GRID * GRID].astype(np.float64).reshape(-1, GRID) / 32768
    return np.asarray(10 * np.log10(np.mean(x * x, axis=1) + 1e-10))


def speech_frames(clean: Int16) -> Bools:
    """Which frames of clean speech [n] are speech: bool [n // GRID]."""
    level = levels_db(clean)
    if not len(level):
        return np.zeros(0, bool)
    top, low = np.percentile(level, (95, 3))
    return tidied(level >= top - np.clip(top - low - 8, *RANGE_DB))


def tidied(speech: Bools) -> Bools:
    """Gaps between speech shorter than LONGEST_GAP closed, then bursts shorter than SHORTEST_BURST removed."""
    out = speech.copy()
    for begin, end in stretches(~out):
        if end - begin < LONGEST_GAP and begin > 0 and end < len(out):
            out[begin:end] = True
    for begin, end in stretches(out):
        if end - begin < SHORTEST_BURST:
            out[begin:end] = False
    return out


def stretches(on: Bools) -> list[tuple[int, int]]:
    """(begin, end) of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
