"""C files in, numbers out: builds firmware for a board and runs it in an emulator.

This package knows boards, compilers and emulators; it knows nothing of models or audio. A board is
one TOML file in `boards/`, a chip family is one assembly file in `startup/`.
"""

from __future__ import annotations

from targets.board import Board, list_boards, load_board
from targets.build import Firmware, build
from targets.elf import Section
from targets.emulate import choose_emulator, run, usable_emulators
from targets.run_types import RunResult
from targets.toolchain import Toolchain, available_toolchains, find_toolchain

__all__ = [
    "Board",
    "Firmware",
    "RunResult",
    "Section",
    "Toolchain",
    "available_toolchains",
    "build",
    "choose_emulator",
    "find_toolchain",
    "list_boards",
    "load_board",
    "run",
    "usable_emulators",
]
