"""What can be done with a board on this machine: compilers, emulators, probes, flashers, and how to get those that lack."""

from __future__ import annotations

import shutil
from pathlib import Path

from targets.board import Board, Tool
from targets.emulate import obstacles
from targets.toolchain import NAMES, available_toolchains, how_to_get

Ways = dict[str, list[tuple[str, str]]]


def ways(board: Board) -> Ways:
    """By kind: what it is, and how to get it where it is missing ("" where it is there)."""
    compilers = [name for name in NAMES if getattr(board, name) is not None]
    drive = [(f"drive {board.uf2.board_id}", "")] if board.uf2 else []
    return {
        "build": [(name, "" if name in available_toolchains(board) else how_to_get(board, name)) for name in compilers],
        "emulate": [(name, why or "") for name, why in obstacles(board).items() if getattr(board, name) is not None],
        "probe": [_tool(tool) for tool in board.probes],
        "flash": drive + [_tool(tool) for tool in board.flashers],
    }


def _tool(tool: Tool) -> tuple[str, str]:
    name = tool.command[0]
    return Path(name).name, "" if shutil.which(name) else tool.install
