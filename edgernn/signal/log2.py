"""The logarithm that both signal paths end in: log2 of a band's energy in Q9, integers only (SPEC.md, 5.2)."""

from __future__ import annotations

import numpy as np

from edgernn.core import qmath

LOG_FRACTION_BITS = 9  #: log-energies are log2 in Q9: 512 steps an octave of power, 0.006 dB a step
POWER_SHIFT = 12  #: of a squared magnitude, so that sums over bands keep clear of 64 bits
_LOG_SEGMENT_BITS = 5

#: log2(1 + i/32) in Q15, i = 0..32
LOG2_TABLE = np.rint(32768 * np.log2(1 + np.arange(33) / 32)).astype(np.int64)


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
