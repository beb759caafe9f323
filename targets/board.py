"""Boards as data: one TOML file each, found by file name, checked against the dataclasses here."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from edgernn.errors import EdgernnError
from edgernn.extensions import folders

PACKAGE_DIR = Path(__file__).parent
BOARDS_DIR = PACKAGE_DIR / "boards"


@dataclass(frozen=True)
class Memory:
    """One contiguous region, in bytes."""

    origin: int
    size: int


@dataclass(frozen=True)
class Gcc:
    """A GCC cross compiler and the flags that choose the chip."""

    command: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Zig:
    """The flags that make `zig cc` compile for the chip."""

    flags: tuple[str, ...]


@dataclass(frozen=True)
class Qemu:
    """A QEMU machine that starts the firmware at its flash origin or ELF entry."""

    binary: str
    machine: str
    args: tuple[str, ...]


@dataclass(frozen=True)
class Unicorn:
    """Names without their prefixes: UC_ARCH_, UC_MODE_, UC_CPU_.

    A Cortex-M takes the mode THUMB alone: with MCLASS, unicorn overrides `cpu` by its Cortex-M33.
    """

    arch: str
    modes: tuple[str, ...]
    cpu: str


@dataclass(frozen=True)
class Board:
    """A machine: what its code is compiled with, where it lies, and what can run it.

    `family` names the start-up file; `clock_hz` is nominal and serves real-time estimates only;
    `stack_bytes` is the least stack a link must leave in `ram`. A tool that the board lacks is None.
    """

    name: str
    description: str
    family: str
    cpu: str
    clock_hz: int
    stack_bytes: int
    flash: Memory
    ram: Memory
    gcc: Gcc | None = None
    zig: Zig | None = None
    qemu: Qemu | None = None
    unicorn: Unicorn | None = None

    @property
    def startup(self) -> Path:
        """The chip family's assembly file."""
        return PACKAGE_DIR / "startup" / f"{self.family.replace('-', '_')}.S"


def _board_files() -> dict[str, Path]:
    """The boards of the package and of $EDGERNN_EXTENSIONS by name."""
    places = [BOARDS_DIR, *map(Path, folders("boards"))]
    return {path.stem: path for place in places for path in place.glob("*.toml")}


def list_boards() -> list[str]:
    """Names of all boards, sorted."""
    return sorted(_board_files())


def load_board(name_or_path: str | Path) -> Board:
    """A board of the package by name, or a user's own by the path of its TOML file.

    Raises EdgernnError when there is none, or when a key is unknown, missing or of a wrong type.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_boards():
            raise EdgernnError(_unknown("board", str(name_or_path), list_boards()))
        path = _board_files()[str(name_or_path)]
    board = _parse(_read(path), Board, str(path))
    assert isinstance(board, Board)
    _check(board, path)
    return board


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise EdgernnError(f"Cannot read the board file {path}: {error}.") from error


def _check(board: Board, path: Path) -> None:
    for key, name in (("name", board.name), ("family", board.family)):  # they name files
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise EdgernnError(f"{path}: {key} = {name!r} must be letters, digits, dots, dashes and underscores.")
    if not board.startup.is_file():
        families = sorted(file.stem.replace("_", "-") for file in board.startup.parent.glob("*.S"))
        raise EdgernnError(f"{path}: {_unknown('family', board.family, families)}")
    numbers = (board.clock_hz, board.stack_bytes, board.flash.size, board.ram.size)
    ends = [memory.origin + memory.size for memory in (board.flash, board.ram)]
    if min(numbers) <= 0 or min(board.flash.origin, board.ram.origin) < 0:
        raise EdgernnError(f"{path}: clock_hz, stack_bytes and sizes must be positive, origins not negative.")
    if board.clock_hz > 10**11 or board.stack_bytes > 2**32 or max(ends) > 2**32:
        raise EdgernnError(f"{path}: clock_hz must be at most 10^11, and memory and stack lie within 32 bits.")


def _unknown(what: str, value: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.0)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"Unknown {what} {value!r}: {hint}Known: {', '.join(known)}."


def _parse(table: object, kind: Any, where: str) -> object:
    """`table` as `kind`: a dataclass, tuple[str, ...], str or int; `X | None` reads as X."""
    if get_origin(kind) is UnionType:
        kind = get_args(kind)[0]
    if dataclasses.is_dataclass(kind) and isinstance(table, dict):
        return _parse_fields(table, kind, where)
    if get_origin(kind) is tuple and isinstance(table, list) and all(isinstance(item, str) for item in table):
        return tuple(table)
    if kind in (str, int) and type(table) is kind:
        return table
    raise EdgernnError(f"{where}: {table!r} is not {_SHAPES.get(kind, 'a table')}.")


_SHAPES = {str: "a string", int: "an integer", tuple[str, ...]: "a list of strings"}


def _parse_fields(table: dict[str, Any], kind: Any, where: str) -> object:
    types = get_type_hints(kind)
    required = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    problems = [_unknown("key", key, list(types)) for key in table if key not in types]
    problems += [f"The key {key!r} is missing." for key in sorted(required - set(table))]
    if problems:
        raise EdgernnError(f"{where}: {' '.join(problems)}")
    return kind(**{key: _parse(value, types[key], f"{where}, {key}") for key, value in table.items()})
