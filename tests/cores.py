"""Cores that kernels are run on here: those of emulated boards, and those of programs for Linux machines, by one interface."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.firmware import build_firmware, count_instructions, emulated_trace
from edgernn.program import compare_emulated
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import write_wav
from firmware_export.kernels import Kernel
from targets import Board, available_toolchains, build, find_toolchain, list_boards, load_board, run, usable_emulators
from targets.linux_board import LinuxBoard, Machine, list_linux_boards, load_linux_board
from targets.linux_build import HARNESS, Program, build_static, run_emulated
from targets.linux_build import count_instructions as count_program


@dataclass(frozen=True)
class BoardCore:
    """The core of an emulated board: GCC and QEMU."""

    board: Board

    @property
    def name(self) -> str:
        """Its board's."""
        return self.board.name

    @property
    def cpu(self) -> str:
        """What kernels call it."""
        return self.board.cpu

    @property
    def shown(self) -> str:
        """What a table calls it."""
        return self.board.cpu

    @property
    def compiler(self) -> str:
        """GCC's command."""
        assert self.board.gcc
        return self.board.gcc.command

    def missing(self) -> list[str]:
        """What this machine lacks to build, run and count."""
        there = {"gcc": available_toolchains(self.board), "qemu": usable_emulators(self.board, count=True)}
        return [f"{what} for {self.name}" for what, found in there.items() if what not in found]

    def build(self, sources: Sequence[Path], folder: Path, include: Sequence[Path], optimize: str = "-O2") -> Any:
        """C files, one of which defines main, to something that runs."""
        compiler = find_toolchain(self.board, "gcc")
        return build(sources, self.board, folder / "x.elf", include_dirs=include, toolchain=compiler, optimize=optimize)

    def run(self, built: Any, args: Sequence[str], folder: Path) -> int:
        """Its exit code; files are relative to the folder."""
        return run(built, self.board, args=args, workdir=folder, emulator="qemu", timeout_s=120).exit_code

    def counts(self, g: NetGraph, built: Any, pcm: NDArray[Any]) -> list[int]:
        """Instructions of each step of a test firmware."""
        return count_instructions(g, built, self.board, pcm, "qemu")[0]

    def compared(self, g: NetGraph, kernel: str, folder: Path, pcm: NDArray[Any]) -> tuple[str, int, int]:
        """The kernel that was taken, steps, entries that differ from the definition."""
        firmware, built = build_firmware(g, self.board, folder, "gcc", "-O2", kernel)
        trace, total = emulated_trace(g, firmware, self.board, pcm, "qemu")
        return built.kernel, total[1], sum(make_runtime("numpy", g).run(pcm).differing(trace).values())


@dataclass(frozen=True)
class LinuxCore:
    """The core of a kind of program for a Linux machine: GCC and QEMU's user mode."""

    board: LinuxBoard
    machine: Machine

    @property
    def name(self) -> str:
        """Board and kind of program."""
        return f"{self.board.name}-{self.machine.name}"

    @property
    def cpu(self) -> str:
        """What kernels call it."""
        return self.machine.core

    @property
    def shown(self) -> str:
        """What a table calls it: emulators of machines name their core."""
        return f"{self.machine.emulator[-1]}, {self.machine.core}"

    @property
    def compiler(self) -> str:
        """GCC's command."""
        assert self.machine.gcc
        return self.machine.gcc.command

    def missing(self) -> list[str]:
        """What this machine lacks to build, run and count."""
        return [what for what in (self.compiler, self.machine.emulator[0]) if shutil.which(what) is None]

    def build(self, sources: Sequence[Path], folder: Path, include: Sequence[Path], optimize: str = "-O2") -> Program:
        """C files, one of which defines main, to something that runs and can be counted."""
        parts = [*sources, HARNESS]
        return build_static(parts, self.board, self.machine, folder / "x", include, "gcc", optimize, stripped=False)

    def run(self, built: Program, args: Sequence[str], folder: Path) -> int:
        """Its exit code; files are relative to the folder."""
        return run_emulated(built, args, folder).returncode

    def counts(self, g: NetGraph, built: Program, pcm: NDArray[Any]) -> list[int]:
        """Instructions of each step of a test firmware."""
        with tempfile.TemporaryDirectory() as scratch:
            write_wav(Path(scratch) / "in.wav", pcm, g.sample_rate)
            return count_program(built, ("in.wav", "o", "count"), Path(scratch))

    def compared(self, g: NetGraph, kernel: str, folder: Path, pcm: NDArray[Any]) -> tuple[str, int, int]:
        """The kernel that was taken, steps, entries that differ from the definition."""
        found = compare_emulated(g, self.board, self.machine, pcm, "gcc", "-O2", kernel)
        return found["kernel"], found["steps"], found["bits_differing"]


Core = BoardCore | LinuxCore


def all_cores() -> list[Core]:
    """Every emulated board's, then every Linux machine's that differs in what a compiler or an emulator is told."""
    boards = [b for b in map(load_board, list_boards()) if b.qemu or b.unicorn]
    programs = [(b, m) for b in map(load_linux_board, list_linux_boards()) for m in b.machines]
    distinct = {(m.gcc, m.emulator): LinuxCore(b, m) for b, m in reversed(programs)}
    return [*map(BoardCore, boards), *sorted(distinct.values(), key=lambda core: core.name)]


def cores_of(kernel: Kernel) -> list[Core]:
    """The emulated cores that the kernel is for."""
    return [core for core in all_cores() if core.cpu in kernel.cores]


def core_named(name: str) -> Core:
    """The core of that name."""
    return next(core for core in all_cores() if core.name == name)
