"""Kernels: faster C for one kind of core, with the bits of the plain runtime. One folder each, found by its name.

A kernel says how the matrices are laid out for it and which products it takes; the emitter lays weights out and writes fused
loops. What the emitter calls, and the entries of those loops, are in `_shared`. What a kernel does not take stays with the
plain functions.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from edgernn.errors import EdgernnError

_SHARED = Path(__file__).parent / "_shared"
PLAIN = "plain"  #: the name of no kernel: the definition in C


class Kernel(ABC):
    """One kernel. Its folder holds the C files that an export takes along; `sources` are those to compile."""

    name: ClassVar[str]
    cores: ClassVar[tuple[str, ...]]  #: of boards, by their `cpu`: which `auto` chooses it for
    sources: ClassVar[tuple[str, ...]]
    header: ClassVar[str]
    widens: ClassVar[bool] = True  #: whether int8 operands are widened on the way in, by ern_fast_widen or by a loop
    lanes: ClassVar[int] = 1  #: entries that a loop takes at a time
    flags: ClassVar[tuple[str, ...]] = ()  #: that its compiler needs beside the core's own
    instead: ClassVar[Mapping[str, str]] = {}  #: files of the plain runtime, and what is compiled in place of each

    @property
    def compiled(self) -> tuple[str, ...]:
        """All C files to compile: those that kernels share, and its own."""
        return (*(path.name for path in sorted(_SHARED.glob("*.c"))), *self.sources)

    def files(self) -> dict[str, bytes]:
        """Every C file by name, as an export takes it along."""
        found = [path for folder in (_SHARED, self.folder) for path in sorted(folder.glob("ern_*.[chS]"))]
        return {path.name: path.read_bytes() for path in found}

    @property
    def folder(self) -> Path:
        """Where its C lies."""
        return Path(__file__).parent / self.name

    @abstractmethod
    def takes(self, g: NetGraph, op: Op, aligned: bool) -> bool:
        """Whether it computes this product; aligned: its operands begin at a word."""

    @abstractmethod
    def packed(self, g: NetGraph, op: Op) -> NDArray[np.generic]:
        """The product's constants as one array, laid out for the kernel."""


class BlockKernel(Kernel):
    """A kernel that takes some rows of a matrix at a time, and one stream of constants a matrix.

    Of each block of `rows` rows: their biases, their weights as `laid_out` has them, their scales m << (shifts[1] - k). Rows
    and columns are filled up. Operands of 8 bits are widened by 8 bits, or their sums, and their shifts k with them.
    """

    rows: ClassVar[int]
    columns: ClassVar[int]  #: of a group
    shifts: ClassVar[tuple[int, int]]  #: least and greatest k at which the scale is a word
    kinds: ClassVar[tuple[str, ...]] = ("matvec", "conv", "row_conv")  #: of products
    in_words: ClassVar[bool]  #: whether each row of x must begin at a word
    filler: ClassVar[int] = 0  #: the weight that makes nothing of whatever lies behind x

    @abstractmethod
    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Weights [blocks, rows, groups, columns] -> in the order in which the kernel reads them, [blocks, ...]."""

    def takes(self, g: NetGraph, op: Op, aligned: bool) -> bool:
        """Where no shift is out of range and no widened sum either."""
        if op.kind not in self.kinds:
            return False
        weight, wide = _constant(g, op, "weight"), _widening(g, op)
        shift = _constant(g, op, "shift") + wide
        largest = np.abs(weight).sum(1) * 128 * 256 + np.abs(_constant(g, op, "bias")) * 256
        rows, step = g.values[op.inputs[0]].shape
        placed = aligned or bool(wide) or op.kind == "row_conv" or not self.in_words
        follow = rows == 1 or op.kind == "conv" or step % 2 == 0 or not self.in_words
        fits = not wide or int(largest.max()) < 1 << 31
        return bool(shift.min() >= self.shifts[0] and shift.max() <= self.shifts[1] and fits and placed and follow)

    def packed(self, g: NetGraph, op: Op) -> NDArray[np.uint32]:
        """See the class."""
        weight = _constant(g, op, "weight").astype(np.int8)
        columns = self.group(g, op)
        blocks, groups = -(-weight.shape[0] // self.rows), -(-weight.shape[1] // columns)
        filled = np.full((blocks * self.rows, groups * columns), self.filler, np.int8)
        filled[: weight.shape[0], : weight.shape[1]] = weight
        weights = np.ascontiguousarray(self.laid_out(filled.reshape(blocks, self.rows, groups, columns)))
        scale = self.scales(_constant(g, op, "multiplier"), _constant(g, op, "shift") + _widening(g, op))
        begin = self.sums(self._a_row(_constant(g, op, "bias") << (_widening(g, op) if self.widens else 0), blocks))
        ends = [values.astype(np.int32).view(np.uint32) for values in (begin, self._a_row(scale, blocks))]
        return np.concatenate([ends[0], weights.reshape(blocks, -1).view("<u4"), ends[1]], axis=1).ravel()

    def channel_pairs(self, g: NetGraph, op: Op) -> NDArray[np.uint32]:
        """A depthwise product: of each two channels' filters two biases, a word of two taps for each, and so on, two scales."""
        weight, wide, channels = _constant(g, op, "weight"), _widening(g, op), g.values[op.inputs[0]].shape[1]
        filters, taps = weight.shape[0] // channels, -(-weight.shape[1] // 2)
        filled = np.zeros((len(weight), 2 * taps), "<i2")
        filled[:, : weight.shape[1]] = weight
        pairs = filled.reshape(channels // 2, 2, filters, taps, 2).transpose(0, 2, 3, 1, 4)
        words = np.ascontiguousarray(pairs).view("<u4").reshape(channels // 2, filters, 2 * taps)
        scale = self.scales(_constant(g, op, "multiplier"), _constant(g, op, "shift") + wide)
        ends = [
            values.astype(np.int32).view(np.uint32).reshape(channels // 2, 2, filters).transpose(0, 2, 1)
            for values in (_constant(g, op, "bias") << wide, scale)
        ]
        return np.concatenate([ends[0], words, ends[1]], axis=2).ravel()

    def group(self, g: NetGraph, op: Op) -> int:
        """Columns of a group of the product's weights."""
        return self.columns

    def scales(self, multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
        """The word that holds each row's m and k."""
        return multiplier << (self.shifts[1] - shift)

    def sums(self, bias: NDArray[np.int64]) -> NDArray[np.int64]:
        """Biases [blocks, rows] -> what the sums begin with."""
        return bias

    def _a_row(self, values: NDArray[np.int64], blocks: int) -> NDArray[np.int64]:
        """One value a row -> [blocks, rows]."""
        filled: NDArray[np.int64] = np.zeros(blocks * self.rows, np.int64)
        filled[: len(values)] = values
        return filled.reshape(blocks, self.rows)


class DigitKernel(BlockKernel):
    """A block kernel for cores that load and multiply words, but cannot take a product's operand out of one.

    A word holds a column of four rows, weights + 128 as its digits to the base 256, the first row's highest. Its row r is
    summed as x times the word >> (24 - 8 r): the digits of the rows before lie above, and S[r] - 256 S[r - 1] is the row's own
    sum. All of that is modulo 2^32, as the sums are. What + 128 adds to each row is 128 times the sum of x.
    """

    rows, columns = 8, 4
    in_words = False
    filler = -128
    _digits = 4

    def laid_out(self, weight: NDArray[np.int8]) -> NDArray[np.int8]:
        """Column after column, a byte a row; the first of four rows is a word's highest."""
        by_column = (weight ^ np.int8(-128)).transpose(0, 2, 3, 1)
        return by_column.reshape(*by_column.shape[:3], -1, self._digits)[..., ::-1]

    def sums(self, bias: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bias of each row among the digits of the rows before it."""
        total = bias.reshape(len(bias), -1, self._digits).copy()
        for row in range(1, self._digits):
            total[..., row] += total[..., row - 1] << 8
        return total.reshape(bias.shape)


_WIDE = 8


def _constant(g: NetGraph, op: Op, key: str) -> NDArray[np.int64]:
    return np.asarray(g.constants[f"{op.output}.{key}"], np.int64)


def _widening(g: NetGraph, op: Op) -> int:
    return _WIDE if g.values[op.inputs[0]].dtype == "int8" else 0


def kernels() -> dict[str, Kernel]:
    """All kernels by name."""
    found = {}
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        kernel = importlib.import_module(f"{__name__}.{info.name}").KERNEL
        found[kernel.name] = kernel
    return found


def find_kernel(name: str, cpu: str = "") -> Kernel | None:
    """The kernel of that name; None is the plain C. "auto": the one for the core `cpu`, where there is one."""
    known = kernels()
    if name == "auto":
        return next((k for k in known.values() if cpu in k.cores), None)
    if name != PLAIN and name not in known:
        raise EdgernnError(f"unknown kernel {name!r}; known: {', '.join(['auto', PLAIN, *sorted(known)])}")
    kernel = known.get(name)
    if kernel and cpu and cpu not in kernel.cores:
        raise EdgernnError(f"kernel {name} is for {', '.join(kernel.cores)}, not for {cpu}; take auto or {PLAIN}")
    return kernel
