"""What every emulator is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgernn.errors import EdgernnError
from targets.board import Board
from targets.build import Firmware

COUNT_START = "board_count_start"
COUNT_STOP = "board_count_stop"


@dataclass(frozen=True)
class Job:
    """One run of a firmware: its files are relative to `workdir`, its time limit is in host seconds.

    server: HOST:PORT of the gdb server that has the board; empty on an emulator.
    """

    firmware: Firmware
    board: Board
    args: tuple[str, ...]
    workdir: Path
    count: bool
    timeout_s: float
    server: str = ""


@dataclass(frozen=True)
class RunResult:
    """What a run gave back.

    `exit_code` is main's result, 0..255, or 125 after a fault. `instructions` has one number per span
    between board_count_start's return and board_count_stop's entry, callees and the call of the stop
    marker included; empty unless counting was asked for. `by_address`: all of them together, by the address
    at which a translated block begins; empty where nobody tells.
    """

    exit_code: int
    console: str
    instructions: list[int]
    emulator: str
    by_address: Mapping[int, int] = field(default_factory=dict)


def timed_out(job: Job, emulator: str) -> EdgernnError:
    """The error of a run that did not end in time."""
    return EdgernnError(
        f"{job.firmware.elf.name} did not end within {job.timeout_s:g} s "
        f"on {job.board.name!r} in {emulator}: raise the time limit, or look for an endless loop."
    )
