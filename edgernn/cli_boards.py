"""The command line's verbs over boards; `cli.py` adds them to the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgernn import show
from edgernn.console import Json, Scheme, Where, beside, printed
from edgernn.errors import EdgernnError

BoardName = Annotated[str, typer.Option("--board", help="Board name or TOML file; `edgernn boards` lists them.")]
Compiler = Annotated[str, typer.Option("--toolchain", help="gcc, zig, or auto: the first that is installed.")]
KernelName = Annotated[
    str, typer.Option("--kernel", help="Faster C of that name, plain, or auto: the one for the board's core.")
]
Optimize = Annotated[str, typer.Option("--optimize", help="Compiler optimization, such as -O2 or -Os.")]


def boards(as_json: Json = False) -> None:
    """List the boards, and what builds and runs them here."""
    from targets import available_toolchains, list_boards, load_board, usable_emulators

    found = [load_board(name) for name in list_boards()]
    rows = [
        {"name": b.name, "cpu": b.cpu, "flash": b.flash.size, "ram": b.ram.size, "description": b.description,
         "toolchains": available_toolchains(b), "emulators": usable_emulators(b)}
        for b in found
    ]  # fmt: skip
    printed(rows, as_json, show.boards)


def build(
    where: Where,
    board: BoardName = "mps2-an386",
    audio: Annotated[Path | None, typer.Option(help="Your C file that defines device_audio: the microphone.")] = None,
    toolchain: Compiler = "auto",
    optimize: Optimize = "-O2",
    kernel: KernelName = "auto",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Make the application for a board: ELF, BIN, HEX, UF2.

    Self-test, then the microphone; what is heard goes to the console and to a pin. Tells whether it fits and whether the core
    keeps up; refuses what does not. Reads a run folder or graph file, writes a folder named like the board beside it.
    """
    from edgernn.boards import build_board

    result = build_board(where, board, beside(where), toolchain, optimize, scheme, audio, kernel)
    printed(result, as_json, show.built)


def flash(
    where: Where,
    board: BoardName,
    drive: Annotated[Path | None, typer.Option(help="The bootloader's drive; default: found by its INFO_UF2.TXT.")] = None,
    serial: Annotated[str, typer.Option(help="Serial port to ask the self-test on, such as /dev/ttyACM0.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Write the application to a board, and hear its self-test.

    By a copy to the board's UF2 drive, or by pyocd, OpenOCD or st-flash, as the board's file says. Reads what `edgernn build`
    wrote.
    """
    from edgernn.boards import flash_board

    if dry_run and (drive or serial):
        raise EdgernnError("--dry-run only says what could be done; leave --drive and --serial out")
    result = flash_board(where, board, beside(where), drive, serial, scheme, dry_run)
    printed(result, as_json, show.flashed)


def run(
    where: Where,
    board: BoardName = "mps2-an386",
    wav: Annotated[Path | None, typer.Option(help="Sound to run; default: some seconds of the test split.")] = None,
    toolchain: Compiler = "auto",
    emulator: Annotated[str, typer.Option(help="qemu, unicorn, or auto: the first that is installed.")] = "auto",
    gdb: Annotated[str, typer.Option(help="HOST:PORT of a gdb server that has the board itself.")] = "",
    optimize: Optimize = "-O2",
    kernel: KernelName = "auto",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Run on an emulated core, or on the board: bits, cost.

    Bits are compared with the simulator's; exits 1 when they differ. With --gdb the board behind OpenOCD, pyocd, J-Link or
    another gdb server runs them, and its cycles are read. Reads a run folder or graph file, writes run-*.json beside it.
    """
    from edgernn.boards import run_board

    result = run_board(where, board, beside(where), wav, toolchain, emulator, optimize, scheme, gdb, kernel)
    printed(result, as_json, show.emulated)
    if result["bits_differing"]:
        raise typer.Exit(1)


#: in the order in which `edgernn --help` lists them
VERBS = (boards, build, flash, run)
