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


def boards(
    name: Annotated[str, typer.Argument(help="One board, name or TOML file, in full; default: all of them.")] = "",
    as_json: Json = False,
) -> None:
    """List the boards, and what each can do here and now.

    build: the compilers found; run: the emulators, or the probe's gdb servers, found; flash: a drive, or the programs found.
    """
    from edgernn.boards import board_facts, linux_facts
    from targets import list_boards
    from targets.linux_board import is_linux_board, list_linux_boards

    if name:
        printed(linux_facts(name) if is_linux_board(name) else board_facts(name), as_json, show.board)
        return
    found = [board_facts(known) for known in list_boards()]
    printed([*found, *map(linux_facts, list_linux_boards())], as_json, show.boards)


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
    keeps up; refuses what does not. For a Linux board a program, as `edgernn deploy` takes there. Reads a run folder or graph
    file, writes a folder named like the board beside it.
    """
    from edgernn.boards import build_board
    from edgernn.deploy import build_programs
    from targets.linux_board import is_linux_board

    if is_linux_board(board):
        if audio:
            raise EdgernnError("a Linux board's program hears standard input or an ALSA device; leave --audio out")
        printed(build_programs(where, board, beside(where), toolchain, optimize, scheme, kernel), as_json, show.programs)
        return
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

    By a copy to the board's UF2 drive, or by pyocd, OpenOCD, st-flash, esptool or dfu-util, as the board's file says.
    Reads what `edgernn build` wrote.
    """
    from edgernn.boards import flash_board
    from targets.linux_board import is_linux_board

    if is_linux_board(board):
        raise EdgernnError(f"{board} is a Linux board; `edgernn deploy --host user@machine` puts a program there")
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
    probe: Annotated[str, typer.Option(help="Start that server: pyocd, openocd, or auto: the first installed.")] = "",
    optimize: Optimize = "-O2",
    kernel: KernelName = "auto",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Run on an emulated core, or on the board: bits, cost.

    Bits are compared with the simulator's; exits 1 when they differ. With --gdb the board behind OpenOCD, pyocd, J-Link or
    another gdb server runs them, and its cycles are read; --probe starts pyocd or OpenOCD for it, and stops it.
    A Linux board's program is run by qemu's user mode, and not counted.

    Reads a run folder or graph file, writes run-*.json beside it.
    """
    from edgernn.boards import run_board
    from edgernn.deploy import run_programs
    from targets.linux_board import is_linux_board

    if is_linux_board(board):
        if gdb or probe or emulator not in ("auto", "qemu"):
            raise EdgernnError("a Linux board's program is run by qemu's user mode; leave --gdb, --probe and --emulator out")
        result = run_programs(where, board, beside(where), wav, toolchain, optimize, scheme, kernel)
        printed(result, as_json, show.programs_run)
    else:
        result = run_board(where, board, beside(where), wav, toolchain, emulator, optimize, scheme, gdb, probe, kernel)
        printed(result, as_json, show.emulated)
    if result["bits_differing"]:
        raise typer.Exit(1)


def deploy(
    host: Annotated[str, typer.Option(help="[user@]host of the machine, or a name of ~/.ssh/config.")],
    where: Annotated[Path | None, typer.Argument(help="Run folder or graph file (.ern).")] = None,
    port: Annotated[int, typer.Option(help="SSH's port; default: as ssh has it.")] = 0,
    identity: Annotated[str, typer.Option(help="File of the private key; default: as ssh has it.")] = "",
    name: Annotated[str, typer.Option(help="Of the program there; default: the run folder's, or the model's.")] = "",
    folder: Annotated[str, typer.Option(help="Folder there; default: ~/.local/share/edgernn/NAME.")] = "",
    device: Annotated[str, typer.Option(help="ALSA device to listen to, such as plughw:1,0; `arecord -L` there has all.")] = "",
    board: Annotated[str, typer.Option(help="Linux board, or its TOML file; default: asked of the machine.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take away what was put there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the machine, and print what would be done.")] = False,
    toolchain: Compiler = "auto",
    optimize: Optimize = "-O2",
    kernel: KernelName = "auto",
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Put a listening program on a Raspberry Pi by SSH.

    A static program, no Python there: it is built for the machine that answers, copied, tested there, and started by a systemd
    unit of the user's. It prints lines of JSON (`journalctl --user -u edgernn-NAME -f`); a model that gives sound is a filter
    in a pipe instead. Nothing of the user's is overwritten, --remove undoes it. $EDGERNN_SSH replaces the command ssh.
    """
    from edgernn.deploy import deploy_program, remove_program
    from targets.ssh import Ssh

    ssh = Ssh(host, port, identity)
    if remove:
        if dry_run or device or board:
            raise EdgernnError("--remove takes away what was put there; leave --dry-run, --device and --board out")
        printed(remove_program(where, ssh, name, folder, scheme), as_json, show.removed)
        return
    if where is None:
        raise EdgernnError("name the run folder or graph file whose program is to go there")
    result = deploy_program(where, ssh, name, folder, device, board, toolchain, optimize, scheme, dry_run, kernel)
    printed(result, as_json, show.deployed)


#: in the order in which `edgernn --help` lists them
VERBS = (boards, build, flash, run, deploy)
