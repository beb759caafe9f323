"""An application onto its board: a copy to its UF2 drive, or a program that writes flash; then the self-test's answer.

Nothing is written before it is known what to, and a copy that breaks off is said to have broken off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError, needs_extra
from targets.board import Board, Tool, Uf2

INFO = "INFO_UF2.TXT"
IMAGES = ("elf", "hex", "bin", "uf2")
_BAUD = 115200


@dataclass(frozen=True)
class Way:
    """How an image gets onto a board: a copy of `source` to `target`, or a command."""

    source: Path | None = None
    target: Path | None = None
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a shell has it."""
        return shlex.join(["cp", str(self.source), str(self.target)] if self.source else self.command)


def find_ways(board: Board, folder: Path, drive: Path | None = None) -> list[Way]:
    """Every way that is open here and now, the preferred one first; none is an EdgernnError that says what to do."""
    images = {kind: folder / f"{board.name}.{kind}" for kind in IMAGES}
    if not images["elf"].is_file():
        raise EdgernnError(f"no program at {images['elf']}; run `edgernn build` for {board.name} first")
    ways = []
    if board.uf2 and (drive or (found := _drive_of(board.uf2, mounted_drives()))):
        target = _checked_drive(board, board.uf2, drive) if drive else found
        ways.append(Way(source=images["uf2"], target=Path(str(target)) / images["uf2"].name))
    elif drive:
        raise EdgernnError(f"{board.name} has no UF2 bootloader; leave --drive out")
    ways += [Way(command=_filled(f, images)) for f in board.flashers if shutil.which(f.command[0])]
    if not ways:
        raise EdgernnError(f"nothing here can write to {board.name}: {'; or '.join(_remedies(board))}")
    return ways


def all_ways(board: Board, folder: Path) -> list[Way]:
    """What the board's file knows, whether it is open here or not: for a dry run."""
    images = {kind: folder / f"{board.name}.{kind}" for kind in IMAGES}
    if not board.uf2 and not board.flashers:
        raise EdgernnError(f"nothing can write to {board.name}: its board file names no way")
    copies = [Way(source=images["uf2"], target=Path(f"the drive of {board.uf2.board_id}"))] if board.uf2 else []
    return [*copies, *(Way(command=_filled(f, images)) for f in board.flashers)]


def _filled(flasher: Tool, images: dict[str, Path]) -> tuple[str, ...]:
    words = []
    for word in flasher.command:
        for kind, path in images.items():
            word = word.replace(f"{{{kind}}}", str(path))
        words.append(word)
    return tuple(words)


def _remedies(board: Board) -> list[str]:
    remedies = [f"{board.uf2.enter}, and its drive appears" if board.uf2 else ""]
    remedies += [f"install {f.command[0]} ({f.install}) and connect a probe" for f in board.flashers]
    return [text for text in remedies if text] or ["its board file names no way"]


# The drive ---------------------------------------------------------------------------


def mounted_drives() -> list[Path]:
    """Where removable drives appear."""
    user = os.environ.get("USER", "")
    if sys.platform == "win32":
        return [Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ"]
    roots = (Path("/media") / user, Path("/run/media") / user, Path("/media"), Path("/mnt"), Path("/Volumes"))
    return [path for root in roots if root.is_dir() for path in sorted(root.iterdir())]


def board_id(drive: Path) -> str:
    """The Board-ID in a drive's INFO_UF2.TXT; empty where there is none."""
    with contextlib.suppress(OSError):
        for line in (drive / INFO).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Board-ID":
                return value.strip()
    return ""


def _drive_of(uf2: Uf2, drives: Iterable[Path]) -> Path | None:
    return next((drive for drive in drives if (found := board_id(drive)) and found.startswith(uf2.board_id)), None)


def _checked_drive(board: Board, uf2: Uf2, drive: Path) -> Path:
    found = board_id(drive)
    if not found:
        raise EdgernnError(f"{drive} is no drive of a UF2 bootloader (no {INFO}); {uf2.enter}")
    if not found.startswith(uf2.board_id):
        raise EdgernnError(f"{drive} is the drive of {found}, not of {board.name} ({uf2.board_id}); nothing was written")
    return drive


# Writing ---------------------------------------------------------------------------


def write(way: Way) -> None:
    """Do it; what went wrong is an EdgernnError, which says whether something may have been written."""
    if way.source and way.target:
        _copy(way.source, way.target)
        return
    done = subprocess.run(
        way.command, capture_output=True, text=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        told = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
        raise EdgernnError(f"{way.command[0]} failed ({told[0]}); the board may be written in part: connect it and flash again")


def _copy(source: Path, target: Path) -> None:
    data = source.read_bytes()
    free = shutil.disk_usage(target.parent).free
    if free < len(data):
        raise EdgernnError(f"the drive {target.parent} has {free} bytes left, {len(data)} are needed; nothing was written")
    try:
        with target.open("wb") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(OSError):  # a bootloader may start the program before it answers
                os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise EdgernnError(f"the drive {target.parent} is read-only ({error.strerror}); nothing was written") from None
        raise EdgernnError(
            f"cannot write {target} ({error.strerror}); the board may be written in part: reset its bootloader and flash again"
        ) from None


# The answer ---------------------------------------------------------------------------


def self_test_answer(port: str, graph: str, seconds: float) -> str:
    """What the board says on its serial port of the self-test; EdgernnError when it fails, is another model, or is silent."""
    seen = ""
    for line in _lines(port, seconds):
        seen = line
        if line.startswith("edgernn ") and line != f"edgernn {graph}":
            raise EdgernnError(f"the board on {port} runs another model ({line[8:20]}, not {graph[:12]}); flash it again")
        if line == "self-test ok":
            return line
        if line.startswith("self-test"):
            raise EdgernnError(f"the board on {port} says {line!r}: it does not compute what this PC computed; do not trust it")
    heard = f"its last line was {seen!r}" if seen else "nothing came"
    raise EdgernnError(f"no answer of the self-test on {port} within {seconds:g} s ({heard}); reset the board, check the port")


def _lines(port: str, seconds: float) -> Iterator[str]:
    """Lines of a serial port until time runs out."""
    serial = _pyserial()
    until, rest = time.monotonic() + seconds, b""
    try:
        with serial.Serial(port, _BAUD, timeout=0.1) as line:
            while time.monotonic() < until:
                rest += line.read(256)
                *whole, rest = rest.split(b"\n")
                yield from (text.decode(errors="replace").strip() for text in whole)
    except (serial.SerialException, OSError) as error:
        raise EdgernnError(f"cannot read {port} ({error}); check its name and your rights to it") from None


def _pyserial() -> Any:
    try:
        import serial
    except ImportError:
        raise needs_extra("reading a serial port needs pyserial", "serial") from None
    return serial
