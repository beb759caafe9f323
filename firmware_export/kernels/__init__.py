"""Kernels: faster C for one kind of core, with the bits of the plain runtime. One folder each, found by its name.

A kernel says how the matrices are laid out for it, which products it takes, and what its entry functions are called; the
emitter lays weights out and writes fused loops. What a kernel does not take stays with the plain functions.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op
from edgernn.errors import EdgernnError

PLAIN = "plain"  #: the name of no kernel: the definition in C


class Kernel(ABC):
    """One kernel. Its folder holds the C files that an export takes along; `sources` are those to compile."""

    name: ClassVar[str]
    cores: ClassVar[tuple[str, ...]]  #: of boards, by their `cpu`: which `auto` chooses it for
    sources: ClassVar[tuple[str, ...]]
    header: ClassVar[str]
    entries: ClassVar[str]  #: what the names of its entry functions begin with

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
