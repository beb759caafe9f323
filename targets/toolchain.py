"""Finds compilers for a board: a GCC cross compiler or zig."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from functools import cache

from edgernn.errors import EdgernnError
from edgernn.hostcc import run_tool
from targets.board import Board

NAMES = ("gcc", "zig")
"""Every kind of toolchain, the preferred one first."""

ZIG_PACKAGE = "ziglang==0.13.0"


@dataclass(frozen=True)
class Toolchain:
    """A compiler driver for one board: `command` with every flag that chooses the chip."""

    name: str
    command: tuple[str, ...]
    link_flags: tuple[str, ...]
    version: str


def find_toolchain(board: Board, name: str = "auto") -> Toolchain:
    """The toolchain `name` ("gcc" or "zig") for `board`; "auto" takes the first that is installed.

    Raises EdgernnError naming the ways to get one.
    """
    if name != "auto" and name not in NAMES:
        raise EdgernnError(f"Unknown toolchain {name!r}: use auto, {' or '.join(NAMES)}.")
    found = available_toolchains(board)
    wanted = found[0] if name == "auto" and found else name
    if wanted not in found:
        what = "compiler" if name == "auto" else f"{name} compiler"
        raise EdgernnError(f"No {what} for board {board.name!r} is installed: {_ways(board)}.")
    return _gcc(board) if wanted == "gcc" else _zig(board)


def available_toolchains(board: Board) -> list[str]:
    """Names of the installed toolchains that `board` has flags for, the preferred one first."""
    gcc = board.gcc is not None and shutil.which(board.gcc.command) is not None
    zig = board.zig is not None and _zig_command() is not None
    return [name for name, there in zip(NAMES, (gcc, zig), strict=True) if there]


def _gcc(board: Board) -> Toolchain:
    assert board.gcc is not None
    command = (board.gcc.command, *board.gcc.flags)
    version = (_output(board.gcc.command, "--version").splitlines() or ["unknown"])[0]
    return Toolchain("gcc", command, ("-Wl,--no-warn-rwx-segments", "-lgcc"), version)


def _zig(board: Board) -> Toolchain:
    zig = _zig_command()
    assert zig is not None
    assert board.zig is not None
    version = _output(*zig, "version").strip()
    # -g: at -Os, zig would strip the symbols that emulators need.
    command = (*zig, "cc", *board.zig.flags, "-fno-sanitize=undefined", "-g")
    # zig brings its own runtime library, and asks its linker for _start unless told otherwise.
    return Toolchain("zig", command, ("-Wl,--entry=board_reset", "-Wl,-z,max-page-size=4096"), f"zig {version}")


def _zig_command() -> tuple[str, ...] | None:
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang")
    return None


def how_to_get(board: Board, name: str) -> str:
    """How a board's compiler, "gcc" or "zig", is installed; empty where the board has no flags for it."""
    if name == "gcc":
        return f"install {board.gcc.command} from your system's packages" if board.gcc else ""
    return f"`pip install {ZIG_PACKAGE}`" if board.zig else ""


def _ways(board: Board) -> str:
    return (
        " or ".join(filter(None, (how_to_get(board, "zig"), how_to_get(board, "gcc")))) or "its board file has flags for none"
    )


@cache
def _output(*command: str) -> str:
    done = run_tool(command)
    if done.returncode:
        raise EdgernnError(f"{command[0]} does not work: {(done.stderr.splitlines() or ['no message'])[0]}")
    return done.stdout
