"""The integer vocabulary: every arithmetic step of the contract, written once (SPEC.md, "Arithmetic").

All functions take and return int64 arrays holding values of the narrower type named in their docstring; int64 is only
the carrier that keeps NumPy from wrapping. `>>` on a negative NumPy integer is the arithmetic shift (floor) of the contract.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

INT8_MIN, INT8_MAX = -128, 127
INT16_MIN, INT16_MAX = -32768, 32767

#: A pre-activation of value 1.0 in its own integer format 3*2^-13 is 8192/3; the range is +-12.
PREACT_SCALE = 3.0 * 2.0**-13

#: The 256-entry sigmoid table of the TFLite / TFLM int16 LOGISTIC and TANH kernels (Apache-2.0, see NOTICE):
#: entry i is sigmoid(i / 24) in Q16, as those kernels hold it. A closed form is off by one in 44 entries.
SIGMOID_TABLE: Ints = np.array(
    [
        32768,
        33451,
        34133,
        34813,
        35493,
        36169,
        36843,
        37513,
        38180,
        38841,
        39498,
        40149,
        40794,
        41432,
        42064,
        42688,
        43304,
        43912,
        44511,
        45102,
        45683,
        46255,
        46817,
        47369,
        47911,
        48443,
        48964,
        49475,
        49975,
        50464,
        50942,
        51409,
        51865,
        52311,
        52745,
        53169,
        53581,
        53983,
        54374,
        54755,
        55125,
        55485,
        55834,
        56174,
        56503,
        56823,
        57133,
        57433,
        57724,
        58007,
        58280,
        58544,
        58800,
        59048,
        59288,
        59519,
        59743,
        59959,
        60168,
        60370,
        60565,
        60753,
        60935,
        61110,
        61279,
        61441,
        61599,
        61750,
        61896,
        62036,
        62172,
        62302,
        62428,
        62549,
        62666,
        62778,
        62886,
        62990,
        63090,
        63186,
        63279,
        63368,
        63454,
        63536,
        63615,
        63691,
        63765,
        63835,
        63903,
        63968,
        64030,
        64090,
        64148,
        64204,
        64257,
        64308,
        64357,
        64405,
        64450,
        64494,
        64536,
        64576,
        64614,
        64652,
        64687,
        64721,
        64754,
        64786,
        64816,
        64845,
        64873,
        64900,
        64926,
        64950,
        64974,
        64997,
        65019,
        65039,
        65060,
        65079,
        65097,
        65115,
        65132,
        65149,
        65164,
        65179,
        65194,
        65208,
        65221,
        65234,
        65246,
        65258,
        65269,
        65280,
        65291,
        65301,
        65310,
        65319,
        65328,
        65337,
        65345,
        65352,
        65360,
        65367,
        65374,
        65381,
        65387,
        65393,
        65399,
        65404,
        65410,
        65415,
        65420,
        65425,
        65429,
        65433,
        65438,
        65442,
        65445,
        65449,
        65453,
        65456,
        65459,
        65462,
        65465,
        65468,
        65471,
        65474,
        65476,
        65479,
        65481,
        65483,
        65485,
        65488,
        65489,
        65491,
        65493,
        65495,
        65497,
        65498,
        65500,
        65501,
        65503,
        65504,
        65505,
        65507,
        65508,
        65509,
        65510,
        65511,
        65512,
        65513,
        65514,
        65515,
        65516,
        65517,
        65517,
        65518,
        65519,
        65520,
        65520,
        65521,
        65522,
        65522,
        65523,
        65523,
        65524,
        65524,
        65525,
        65525,
        65526,
        65526,
        65526,
        65527,
        65527,
        65528,
        65528,
        65528,
        65529,
        65529,
        65529,
        65529,
        65530,
        65530,
        65530,
        65530,
        65531,
        65531,
        65531,
        65531,
        65531,
        65532,
        65532,
        65532,
        65532,
        65532,
        65532,
        65533,
        65533,
        65533,
        65533,
        65533,
        65533,
        65533,
        65533,
        65534,
        65534,
        65534,
        65534,
        65534,
        65534,
        65534,
        65534,
        65534,
        65534,
        65535,
    ],
    dtype=np.int64,
)


def sat8(x: Ints) -> Ints:
    """Clamp to int8."""
    return np.clip(x, INT8_MIN, INT8_MAX)


def sat16(x: Ints) -> Ints:
    """Clamp to int16."""
    return np.clip(x, INT16_MIN, INT16_MAX)


def round_shift(x: Ints, shift: int) -> Ints:
    """(x + 2^(shift-1)) >> shift: divide by 2^shift, halves upwards; shift >= 1."""
    return (x + (1 << (shift - 1))) >> shift


def round_shift_away(x: Ints, shift: int) -> Ints:
    """Divide by 2^shift, halves away from zero below and up above, as TFLite's two-step requantization does.

    (x + 2^(shift-1) - (x < 0)) >> shift; shift >= 1.
    """
    return (x + (1 << (shift - 1)) - (x < 0)) >> shift


def requantize(acc: Ints, multiplier: Ints, shift: Ints) -> Ints:
    """int32 accumulator -> int16: sat16((acc*m + 2^(k-1)) >> k), m in [16384, 32767], k in [8, 46], 64-bit product."""
    return sat16((acc * multiplier + (np.int64(1) << (shift - 1))) >> shift)


def mul(a: Ints, b: Ints, shift: int) -> Ints:
    """int16 x int16 -> int16 with a power-of-two ratio: the product over 2^(shift+1), in the contract's two roundings."""
    return sat16(round_shift_away((a * b + 1) >> 1, shift))


def view8(q: Ints) -> Ints:
    """int16 at 2^-b seen as int8 at 2^(8-b)."""
    return sat8(round_shift_away((q + 1) >> 1, 7))


def _table_step(a: Ints, bits: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Interpolate SIGMOID_TABLE at |v| = a, 2^bits steps between entries; and where a lies beyond the table."""
    index = a >> bits
    low = np.minimum(index, 254)
    step = SIGMOID_TABLE[low + 1] - SIGMOID_TABLE[low]
    value = (SIGMOID_TABLE[low] << bits) + (a & ((1 << bits) - 1)) * step
    return value, index >= 255


def sigmoid(x: Ints) -> Ints:
    """int16 pre-activation at 3*2^-13 -> int16 Q15 in [0, 32767]; max error 3.6e-5."""
    v = (9 * x + 1) >> 1
    r, saturated = _table_step(np.abs(v), 9)
    r = np.where(saturated, 0x7FFF << 10, r)
    return np.where(v >= 0, (r + 512) >> 10, ((1 << 25) - r + 511) >> 10)


def tanh(x: Ints) -> Ints:
    """int16 pre-activation at 3*2^-13 -> int16 Q15; max error 7.4e-5."""
    v = (9 * x + 1) >> 1
    r, saturated = _table_step(np.abs(v), 8)
    r = np.where(saturated, 0xFFFF << 8, r)
    return np.where(v >= 0, (r - (1 << 23) + 128) >> 8, (-r + (1 << 23) + 127) >> 8)


def cell_to_preact(c: Ints, exponent: int) -> Ints:
    """int16 LSTM cell at 2^-exponent -> int16 pre-activation at 3*2^-13: sat16(floor((2^(14-e) c + 3) / 6))."""
    return sat16((((1 << (14 - exponent)) * c) + 3) // 6)


def mul_wide(a: Ints, w: Ints) -> Ints:
    """int32 x int16 -> int32: the upper 32 bits of the 48-bit product, (a*w) >> 16."""
    return (a * w) >> 16


def mul_high(a: Ints, w: Ints) -> Ints:
    """int32 x int32 -> int32: the upper half of the 64-bit product, (a*w) >> 32."""
    return (a * w) >> 32
