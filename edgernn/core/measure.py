"""How far two signals are apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def snr_db(reference: NDArray[Any], value: NDArray[Any]) -> float:
    """10 log10 of signal power over error power; capped at 200 dB for equal arrays."""
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    error = float(np.sum(np.square(reference.astype(np.float64) - value)))
    return min(200.0, 10 * math.log10(max(signal, 1e-30) / max(error, 1e-30 * max(signal, 1e-30), 1e-50)))
