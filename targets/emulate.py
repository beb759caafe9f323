"""Runs firmware in whichever emulator the board allows and this machine has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgernn.errors import EdgernnError
from targets import probe, run_gdb, run_qemu, run_unicorn
from targets.board import Board
from targets.build import Firmware
from targets.run_types import COUNT_START, COUNT_STOP, Job, RunResult


@dataclass(frozen=True)
class _Emulator:
    """`obstacle` says why a board cannot run (or be counted) here, None when it can."""

    obstacle: Callable[[Board, bool], str | None]
    run: Callable[[Job], RunResult]


_EMULATORS = {
    "qemu": _Emulator(run_qemu.obstacle, run_qemu.run),
    "unicorn": _Emulator(run_unicorn.obstacle, run_unicorn.run),
}


def obstacles(board: Board, *, count: bool = False) -> dict[str, str | None]:
    """Every emulator, and why it cannot run `board` here (and count), None when it can."""
    return {name: emulator.obstacle(board, count) for name, emulator in _EMULATORS.items()}


def usable_emulators(board: Board, *, count: bool = False) -> list[str]:
    """Emulators that can run `board` here (and count its instructions), the preferred one first."""
    return [name for name, obstacle in obstacles(board, count=count).items() if obstacle is None]


def run(
    firmware: Firmware,
    board: Board,
    *,
    args: Sequence[str] = (),
    workdir: Path,
    emulator: str = "auto",
    count: bool = False,
    timeout_s: float = 60.0,
) -> RunResult:
    """Runs `firmware` until main returns; its files are relative to `workdir`.

    `emulator` may be gdb:HOST:PORT, a gdb server that has the board, or probe:NAME, such a server that the board's file names;
    `count` then gives cycles by the core's own counter, none where it has none. `args` reach it joined by
    single spaces, so none may be empty or hold a blank. Raises EdgernnError when no emulator can do it, when time runs out, or
    when the emulator itself fails; an exit code other than 0 is a result, not an error.
    """
    _check(board, firmware, args, workdir)
    if emulator.startswith(run_gdb.PREFIX):
        return _behind_gdb(Job(firmware, board, tuple(args), workdir, count, timeout_s, emulator.removeprefix(run_gdb.PREFIX)))
    if emulator.startswith(probe.PREFIX):
        name = emulator.removeprefix(probe.PREFIX)
        with probe.serving(board, firmware.elf, name) as server:
            done = _behind_gdb(Job(firmware, board, tuple(args), workdir, count, timeout_s, server))
        return replace(done, emulator=f"gdb, {Path(probe.choose(board, name).command[0]).name}")
    if count and not {COUNT_START, COUNT_STOP} <= firmware.symbols.keys():
        raise EdgernnError(f"{firmware.elf} never calls {COUNT_START} and {COUNT_STOP}: nothing to count.")
    name = choose_emulator(board, emulator, count)
    return _EMULATORS[name].run(Job(firmware, board, tuple(args), workdir, count, timeout_s))


def _behind_gdb(job: Job) -> RunResult:
    """The board itself; with `count` its cycles take the place of instructions."""
    if obstacle := run_gdb.obstacle_of(job.server, job.board.family):
        raise EdgernnError(f"Board {job.board.name!r} cannot be reached by gdb: {obstacle}.")
    if job.count:
        return RunResult(0, "", run_gdb.cycles(job), f"gdb {job.server}")
    return run_gdb.run(job)


def _check(board: Board, firmware: Firmware, args: Sequence[str], workdir: Path) -> None:
    if firmware.board != board.name:
        raise EdgernnError(f"{firmware.elf} was built for board {firmware.board!r}, not for {board.name!r}.")
    if not workdir.is_dir():
        raise EdgernnError(f"The working directory {workdir} does not exist: create it first.")
    for arg in args:
        if not arg or arg.split() != [arg]:
            raise EdgernnError(f"The firmware argument {arg!r} is empty or holds a blank: give it without.")


def choose_emulator(board: Board, emulator: str = "auto", count: bool = False) -> str:
    """The emulator of that name, or the first that can run the board here (and count); an error says what is missing."""
    if emulator != "auto" and emulator not in _EMULATORS:
        raise EdgernnError(f"Unknown emulator {emulator!r}: use auto, {' or '.join(_EMULATORS)}.")
    wanted = list(_EMULATORS) if emulator == "auto" else [emulator]
    found = {name: why for name, why in obstacles(board, count=count).items() if name in wanted}
    for name, obstacle in found.items():
        if obstacle is None:
            return name
    reasons = "; ".join(map(str, found.values()))
    raise EdgernnError(f"Board {board.name!r} cannot be emulated here: {reasons}.")
