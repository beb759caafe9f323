"""Per-band normalisation: the last step of every signal path, the first thing a net sees (SPEC.md, 5.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.core import qmath

Int16 = NDArray[np.int16]

LEAST_DEVIATION = 8.0  #: of a band, in Q9: a dead band must not become noise at full scale
FEATURE_LIMIT = 8.0  #: normalised features end here, in deviations: int16 at 2^-12, int8 at 2^-4


@dataclass(frozen=True)
class Affine:
    """Per-band normalisation x = sat((L - offset) * gain, rounding shift): 0 is the training mean, 2^exponent a deviation.

    offset int16 [bands] in Q9 log2 units; gain int16 [bands] >= 1; shift in 1..24; exponent a: features are at 2^-a;
    bits 16 or 8: the width features saturate to.
    """

    offset: Int16
    gain: Int16
    shift: int
    exponent: int
    bits: int

    def apply(self, log_energy: Int16) -> Int16:
        """int16 [T, bands] log-energies -> normalised features at 2^-exponent, int16 or int8 range, carried as int16."""
        d = qmath.sat16(log_energy.astype(np.int64) - self.offset)
        x = qmath.round_shift(d * self.gain, self.shift)
        return np.asarray(qmath.sat16(x) if self.bits == 16 else qmath.sat8(x), dtype=np.int16)


def fit_affine(mean: NDArray[np.float64], deviation: NDArray[np.float64], bits: int = 16) -> Affine:
    """The affine that maps the train split's mean to 0 and its deviation to 1.0 at 2^-12 (int16) or 2^-4 (int8)."""
    exponent = 12 if bits == 16 else 4
    scale = 2.0**exponent / np.maximum(deviation, LEAST_DEVIATION)
    shift = int(min(24, np.floor(np.log2(32767 / scale.max()))))
    gain = np.maximum(1, np.rint(scale * 2.0**shift))
    return Affine(np.rint(mean).astype(np.int16), gain.astype(np.int16), shift, exponent, bits)
