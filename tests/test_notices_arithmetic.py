"""The vocabulary of both languages against exact whole numbers, where it matters: ties, ends of ranges, either sign."""

from __future__ import annotations

import ctypes
import functools
import itertools
import tempfile
import zlib
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgernn.core import qmath
from edgernn.core.affine import Affine
from edgernn.hostcc import shared_library
from edgernn.signal.log2 import LOG2_TABLE, log2_q9
from edgernn.signal.native import runtime_dir

SHIM = """
#include "ern_log.h"
#include "ern_math.h"
int32_t requantize(int32_t acc, int32_t m, int32_t k) { return ern_requantize(acc, m, k); }
int32_t mul16(int32_t a, int32_t b, int32_t shift) { return ern_mul16((int16_t)a, (int16_t)b, shift); }
int32_t narrow(int32_t q) { return ern_narrow((int16_t)q); }
int32_t sat16(int32_t x) { return ern_sat16(x); }
int32_t sat8(int32_t x) { return ern_sat8(x); }
int32_t mul_wide_long(int32_t a, int32_t w) { return ern_mul_wide_long(a, (int16_t)w); }
int32_t mul_wide_short(int32_t a, int32_t w) { return ern_mul_wide_short(a, (int16_t)w); }
int32_t mul_high(int32_t a, int32_t w) { return ern_mul_high(a, w); }
uint32_t next_reversed(uint32_t r, uint32_t n) { return ern_next_reversed(r, n); }
int32_t log2_q9(uint64_t energy) { return ern_log2_q9(energy); }
int32_t normalize(int32_t log, int32_t offset, int32_t gain, uint32_t shift, uint32_t bits)
{
    return ern_normalize((int16_t)log, (int16_t)offset, (int16_t)gain, shift, bits);
}
"""
#: the ends and the middle of 32 and of 16 bits, and what lies around them
WIDE = [x + d for x in (-(2**31), -(2**16), -(2**15), 0, 2**15, 2**16, 2**31 - 1) for d in (-1, 0, 1) if abs(x + d) < 2**31]
WIDE += [-(2**31)]
NARROW = [-32768, -32767, -16384, -257, -256, -129, -128, -127, -2, -1, 0, 1, 2, 127, 128, 129, 255, 256, 16384, 32766, 32767]


@functools.cache
def c() -> Any:
    """The inline functions of the runtime as a library."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "shim.c"
        source.write_text(SHIM)
        return shared_library([source, runtime_dir() / "ern_net.c"], [runtime_dir()], ("-O1", "-Wno-missing-prototypes"))


def wide(x: int) -> Any:
    return np.array([x], np.int64)


def clamp(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, x))


def halves_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def test_saturation_at_its_ends() -> None:
    for x in (-32769, -32768, 32767, 32768, -129, -128, 127, 128, 0, 2**31 - 1, -(2**31)):
        assert c().sat16(x) == clamp(x, 16) == qmath.sat16(wide(x))[0]
        assert c().sat8(x) == clamp(x, 8) == qmath.sat8(wide(x))[0]


@pytest.mark.parametrize(("m", "k"), [(16384, 15), (16384, 14), (16385, 16), (32767, 46), (24576, 8), (16384, 46), (16384, 31)])
def test_requantization_rounds_halves_up_and_saturates(m: int, k: int) -> None:
    ties = [(2 * n + 1) * 2 ** (k - 1) // m for n in (-40000, -32769, -3, -2, -1, 0, 1, 2, 32766, 32767, 40000)]
    accs = [a for t in ties for a in (t - 1, t, t + 1) if abs(a) < 2**31] + WIDE
    for acc in accs:
        exact = clamp(halves_up(Fraction(acc * m, 1 << k)), 16)
        assert c().requantize(acc, m, k) == exact, acc
        assert qmath.requantize(wide(acc), wide(m), wide(k))[0] == exact, acc


def twice_rounded(product: int, shift: int) -> int:
    """(p + 1) >> 1, then halves away from zero below and up above."""
    t = (product + 1) >> 1
    return (t + (1 << (shift - 1)) - (t < 0)) >> shift


def test_products_go_through_both_roundings() -> None:
    for a, b in itertools.product(NARROW, NARROW):
        for shift in range(14, 21):
            wanted = clamp(twice_rounded(a * b, shift), 16)
            assert c().mul16(a, b, shift) == wanted == qmath.mul(wide(a), wide(b), shift)[0], (a, b, shift)
    assert qmath.mul(wide(-32768), wide(-32768), 14)[0] == 32767, "the one product that saturates"
    ties = np.arange(-99, 100) * 2**15
    assert [twice_rounded(int(p), 14) for p in ties[::2]] == (ties[::2] // 2**15).tolist()


def test_narrowing_goes_through_both_roundings() -> None:
    for q in range(-32768, 32768, 3):
        wanted = clamp(twice_rounded(q, 7), 8)
        assert c().narrow(q) == wanted == qmath.view8(wide(q))[0], q
    for q, wanted in ((126, 0), (127, 1), (382, 1), (383, 2), (-127, 0), (-128, -1), (-383, -1), (-384, -2), (32767, 127)):
        assert qmath.view8(wide(q))[0] == wanted, q


def test_shifts_round_halves_as_they_say() -> None:
    x = np.array([-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6])
    assert qmath.round_shift(x, 2).tolist() == [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert qmath.round_shift_away(x, 2).tolist() == [-2, -1, -1, -1, -1, 0, 0, 0, 1, 1, 1, 1, 2]


def test_upper_halves_of_products_are_floors() -> None:
    for a, w in itertools.product(WIDE, NARROW):
        wanted = (a * w) >> 16
        assert c().mul_wide_long(a, w) == c().mul_wide_short(a, w) == wanted == qmath.mul_wide(wide(a), wide(w))[0]
    for a, w in itertools.product(WIDE, WIDE):
        if (a, w) != (-(2**31), -(2**31)):
            assert c().mul_high(a, w) == (a * w) >> 32 == qmath.mul_high(wide(a), wide(w))[0]


def test_a_cell_reads_its_preactivation_by_floor() -> None:
    for e, value in itertools.product((9, 10, 11, 12), (*NARROW, *range(-20, 20))):
        wanted = clamp(floor(Fraction((value << (14 - e)) + 3, 6)), 16)
        assert qmath.cell_to_preact(wide(value), e)[0] == wanted


def test_indices_backwards() -> None:
    for n in (1, 2, 8, 512):
        bits = n.bit_length() - 1
        wanted = [int(f"{i:b}".zfill(bits)[::-1], 2) if bits else 0 for i in range(n)]
        found = [0]
        while len(found) <= n:
            found.append(c().next_reversed(found[-1], n))
        assert found == [*wanted, 0]


def test_logarithms_at_powers_of_two_and_between_table_entries() -> None:
    c().log2_q9.argtypes = [ctypes.c_uint64]
    energies = [e for k in range(62) for e in (2**k - 1, 2**k, 2**k + 1, 2**k * 33 // 32, 2**k * 63 // 32) if 0 < e < 2**62]
    rng = np.random.default_rng(0)
    energies += [int(x) for x in 2 ** rng.uniform(0, 61.9, 2000)]
    found = log2_q9(np.array(energies, np.int64))
    assert [c().log2_q9(e) for e in energies] == found.tolist()
    assert np.abs(found - 512 * np.log2(np.array(energies, float))).max() < 0.7
    assert found[energies.index(2**40)] == 40 * 512
    assert LOG2_TABLE.tolist()[::16] == [0, 19168, 32768]


def test_normalisation_in_c_is_that_of_numpy_at_ties_and_ends() -> None:
    for offset, gain, shift, bits in itertools.product((-32768, -1, 0, 999, 32767), (1, 3, 32767), (1, 2, 13, 24), (8, 16)):
        a = Affine(np.array([offset], np.int16), np.array([gain], np.int16), shift, 12, bits)
        for log in NARROW:
            wanted = a.apply(np.array([[log]], np.int16)).item()
            assert c().normalize(log, offset, gain, shift, bits) == wanted
            difference = clamp(log - offset, 16)
            assert wanted == clamp(halves_up(Fraction(difference * gain, 1 << shift)), bits)


def test_checksums_are_zlibs_in_one_part_or_several() -> None:
    data = bytes(range(256)) * 3
    c().ern_crc32.restype = ctypes.c_uint32
    assert c().ern_crc32(0, data, len(data)) == zlib.crc32(data)
    assert c().ern_crc32(c().ern_crc32(0, data, 100), data[100:], len(data) - 100) == zlib.crc32(data)
    assert c().ern_crc32(0, data, 0) == 0


# Primitives ---------------------------------------------------------------------------


def test_sums_saturate_in_both_languages() -> None:
    a, b = (np.array(x, np.int16) for x in zip(*itertools.product(NARROW, NARROW), strict=True))
    wider = a.astype(np.int64), b.astype(np.int64)
    for name, wanted in (
        ("ern_add", np.clip(wider[0] + wider[1], -32768, 32767)), ("ern_sub", np.clip(wider[0] - wider[1], -32768, 32767)),
        ("ern_add_relu", np.clip(wider[0] + wider[1], 0, 32767)),
    ):  # fmt: skip
        y = np.zeros(len(a), np.int16)
        getattr(c(), name)(y.ctypes, a.ctypes, b.ctypes, len(a))
        assert np.array_equal(y, wanted), name


class Linear(ctypes.Structure):
    """`ern_linear`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "multiplier", "shift")),
        ("rows", ctypes.c_uint16), ("columns", ctypes.c_uint16), ("floor", ctypes.c_int16),
    ]  # fmt: skip


def product(name: str, weight: Any, x: Any, outputs: int, *sizes: int, relu: bool = False) -> Any:
    """One of the runtime's products, with a bias of 7, 8, .. and a scale of 1."""
    rows, columns = weight.shape
    arrays = [weight.astype(np.int8), np.arange(7, 7 + rows, dtype=np.int32), np.full(rows, 16384, np.int16)]
    arrays.append(np.full(rows, 14, np.uint8))
    arrays[0] = np.ascontiguousarray(arrays[0])
    l = Linear(*(a.ctypes.data for a in arrays), rows, columns, 0 if relu else -32768)  # noqa: E741
    y = np.full(outputs + 3, 12345, np.int16)
    getattr(c(), f"{name}_{'s8' if x.dtype == np.int8 else 's16'}")(y.ctypes, ctypes.byref(l), x.ctypes, *sizes)
    assert (y[outputs:] == 12345).all(), "nothing is written behind the result"
    return y[:outputs].astype(np.int64)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("columns", [1, 3, 4, 5, 8, 11])
def test_products_of_every_size_take_every_row_and_column(columns: int, rows: int, dtype: Any) -> None:
    """Rows are taken in twos and columns in fours: what is left over counts too."""
    rng = np.random.default_rng(columns * 10 + rows)
    weight, x = rng.integers(-127, 128, (rows, columns)), rng.integers(-99, 100, (3, columns)).astype(dtype)
    wanted = x.astype(np.int64) @ weight.T + np.arange(7, 7 + rows)
    assert np.array_equal(product("ern_matvec", weight, x, 3 * rows, 3).reshape(3, rows), np.clip(wanted, -32768, 32767))
    assert np.array_equal(product("ern_matvec", weight, x, 3 * rows, 3, relu=True).reshape(3, rows), np.clip(wanted, 0, 32767))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_a_convolution_over_rows_sees_zeros_beyond_both_ends(n: int, kernel: int, dtype: Any) -> None:
    rng, channels = np.random.default_rng(n * 10 + kernel), 3
    weight, x = rng.integers(-127, 128, (4, kernel * channels)), rng.integers(-50, 51, (n, channels)).astype(dtype)
    padded = np.pad(x.astype(np.int64), ((kernel // 2, kernel // 2), (0, 0)))
    wanted = np.stack([padded[i : i + kernel].ravel() @ weight.T for i in range(n)]) + np.arange(7, 11)
    assert np.array_equal(product("ern_row_conv", weight, x, 4 * n, n, channels).reshape(n, 4), wanted)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_a_depthwise_filter_reads_its_own_channel(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    weight, window = rng.integers(-127, 128, (6, 5)), rng.integers(-50, 51, (5, 3)).astype(dtype)
    wanted = [int(weight[o] @ window[:, o // 2].astype(np.int64)) + 7 + o for o in range(6)]
    assert product("ern_depthwise", weight, window, 6, 3).tolist() == wanted


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_columns_are_cut_out_and_put_back(dtype: Any) -> None:
    x = np.arange(35).reshape(5, 7).astype(dtype)
    some, back = np.full((6, 3), 99, dtype), np.full((5, 7), 99, dtype)
    c().ern_copy_columns(some.ctypes, x.ctypes, 5, 7, 2, 3, x.itemsize)
    assert np.array_equal(some[:5], x[:, 2:5]) and (some[5] == 99).all()
    c().ern_put_columns(back.ctypes, some.ctypes, 5, 7, 4, 3, x.itemsize)
    assert np.array_equal(back[:, 4:], x[:, 2:5]) and (back[:, :4] == 99).all()
