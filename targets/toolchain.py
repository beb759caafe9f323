"""Finds compilers for a board: a GCC cross compiler or zig."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from edgernn.errors import EdgernnError
from edgernn.hostcc import run_tool
from targets.board import Gcc, Zig

NAMES = ("gcc", "zig")
"""Every kind of toolchain, the preferred one first."""

ZIG_PACKAGE = "ziglang==0.13.0"


class Compiled(Protocol):
    """What code is compiled for: a board, or a kind of Linux machine. `kind` says which in a message."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def gcc(self) -> Gcc | None: ...  # noqa: D102

    @property
    def zig(self) -> Zig | None: ...  # noqa: D102


@dataclass(frozen=True)
class Toolchain:
    """A compiler driver for one board: `command` with every flag that chooses the chip."""

    name: str
    command: tuple[str, ...]
    version: str


def find_toolchain(board: Compiled, name: str = "auto") -> Toolchain:
    """The toolchain `name` ("gcc" or "zig") for `board`; "auto" takes the first that is installed.

    Raises EdgernnError naming the ways to get one.
    """
    if name != "auto" and name not in NAMES:
        raise EdgernnError(f"Unknown toolchain {name!r}: use auto, {' or '.join(NAMES)}.")
    found = available_toolchains(board)
    wanted = found[0] if name == "auto" and found else name
    if wanted not in found:
        what = "compiler" if name == "auto" else f"{name} compiler"
        raise EdgernnError(f"No {what} for {board.kind} {board.name!r} is installed: {_ways(board)}.")
    return _gcc(board) if wanted == "gcc" else _zig(board)


def available_toolchains(board: Compiled) -> list[str]:
    """Names of the installed toolchains that `board` has flags for, the preferred one first."""
    gcc = board.gcc is not None and shutil.which(board.gcc.command) is not None
    zig = board.zig is not None and _zig_command() is not None
    return [name for name, there in zip(NAMES, (gcc, zig), strict=True) if there]


def _gcc(board: Compiled) -> Toolchain:
    assert board.gcc is not None
    command = (board.gcc.command, *board.gcc.flags)
    version = (_output(board.gcc.command, "--version").splitlines() or ["unknown"])[0]
    return Toolchain("gcc", command, version)


def _zig(board: Compiled) -> Toolchain:
    zig = _zig_command()
    assert zig is not None
    assert board.zig is not None
    version = _output(*zig, "version").strip()
    # -g: at -Os, zig would strip the symbols that emulators need.
    command = (*zig, "cc", *board.zig.flags, "-fno-sanitize=undefined", "-g")
    return Toolchain("zig", command, f"zig {version}")


def _zig_command() -> tuple[str, ...] | None:
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang")
    return None


def how_to_get(board: Compiled, name: str) -> str:
    """How a board's compiler, "gcc" or "zig", is installed; empty where the board has no flags for it."""
    if name == "gcc" and board.gcc:
        return f"install {board.gcc.command} from your system's packages (Debian: {_package(board.gcc)})"
    return f"`pip install {ZIG_PACKAGE}`" if name == "zig" and board.zig else ""


def _ways(board: Compiled) -> str:
    found = [how_to_get(board, name) for name in ("zig", "gcc")]
    return " or ".join(filter(None, found)) or "its board file has flags for none"


def _package(gcc: Gcc) -> str:
    """Debian names its cross compilers the other way round."""
    return f"gcc-{gcc.command.removesuffix('-gcc').replace('_', '-')}"


@cache
def _output(*command: str) -> str:
    done = run_tool(command)
    if done.returncode:
        raise EdgernnError(f"{command[0]} does not work: {(done.stderr.splitlines() or ['no message'])[0]}")
    return done.stdout
