"""Linux machines as data: one TOML file each, told apart by what the machine says of itself.

A bare-metal board (`board.py`) has a memory map; a Linux machine has kernels, of 32 or 64 bits, each with programs of its own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgernn.errors import EdgernnError
from targets.board import PACKAGE_DIR, Gcc, Zig
from targets.board_file import BoardFileError, check_name, load, read, unknown
from targets.toolchain import available_toolchains

LINUX_DIR = PACKAGE_DIR / "linux"


@dataclass(frozen=True)
class Machine:
    """A kind of program that the board runs: `name` is what `uname -m` says.

    features: words that /proc/cpuinfo must hold (Features, on a PC flags); emulator: what runs such a program on a PC;
    core: what its programs' core is called among those of fast kernels (firmware_export/kernels), none where it is empty.
    """

    name: str
    features: tuple[str, ...]
    emulator: tuple[str, ...]
    gcc: Gcc | None = None
    zig: Zig | None = None
    core: str = ""

    @property
    def kind(self) -> str:
        """What it is called in a message."""
        return "machine"


@dataclass(frozen=True)
class LinuxBoard:
    """A Linux machine. models: how /proc/device-tree/model begins; none: any machine without such a file.

    microphone: how one is connected, in words.
    """

    name: str
    description: str
    cpu: str
    microphone: str
    models: tuple[str, ...]
    machines: tuple[Machine, ...]

    def machine(self, name: str) -> Machine:
        """The kind of program for a kernel of this name (`uname -m`)."""
        found = next((m for m in self.machines if m.name == name), None)
        if found is None:
            raise EdgernnError(
                f"{self.name} with a kernel for {name!r} is unknown; known are {', '.join(m.name for m in self.machines)}"
            )
        return found


@dataclass(frozen=True)
class Seen:
    """What a machine says of itself: `uname -s` and `-m`, the device tree's model (a PC has none), the CPU's features."""

    system: str
    machine: str
    model: str
    features: frozenset[str]


def list_linux_boards() -> list[str]:
    """Names of the Linux machines, sorted."""
    return sorted(path.stem for path in LINUX_DIR.glob("*.toml"))


def load_linux_board(name_or_path: str | Path) -> LinuxBoard:
    """A Linux machine by name, or a user's own by the path of its TOML file; a mistake in it is named with its line."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_linux_boards():
            raise EdgernnError(unknown("Linux machine", str(name_or_path), list_linux_boards()))
        path = LINUX_DIR / f"{name_or_path}.toml"
    return load(path, LinuxBoard, _check)


def is_linux_board(name_or_path: str) -> bool:
    """Whether it names a Linux machine: a name that comes along, or a TOML file with machines."""
    if not name_or_path.endswith(".toml"):
        return name_or_path in list_linux_boards()
    return "machines" in read(Path(name_or_path))


def _check(board: LinuxBoard) -> None:
    check_name(("name",), board.name)
    if not board.machines:
        raise BoardFileError(("machines",), "there must be at least one.")
    for i, machine in enumerate(board.machines):
        check_name(("machines", i, "name"), machine.name)
        if not machine.gcc and not machine.zig:
            raise BoardFileError(("machines", i), "the flags of gcc or zig are missing.")
        if not machine.emulator or not machine.emulator[0]:
            raise BoardFileError(("machines", i, "emulator"), "there must be words.")
        if machine.name in [m.name for m in board.machines[:i]]:
            raise BoardFileError(("machines", i, "name"), f"{machine.name!r} is there twice.")
    if "" in board.models:
        raise BoardFileError(("models",), "an empty one would fit every machine; leave the list empty for those without.")


def recognised(seen: Seen, host: str) -> LinuxBoard:
    """The board that a machine is; host: its name in messages. EdgernnError when none that comes along fits."""
    if seen.system != "Linux":
        raise EdgernnError(f"{host} runs {seen.system or 'an unknown system'}, not Linux; programs are made for Linux only")
    boards = [load_linux_board(name) for name in list_linux_boards()]
    if seen.model:
        fitting = [b for b in boards if seen.model.startswith(b.models)]
    else:
        fitting = [b for b in boards if not b.models and seen.machine in [m.name for m in b.machines]]
    if not fitting:
        raise EdgernnError(
            f"{host} is of an unknown kind: {seen.model or 'no model'}, {seen.machine}; known are "
            f"{', '.join(b.name for b in boards)}, and --board takes one whose programs run there, or a file of your own"
        )
    return fitting[0]


def machine_of(board: LinuxBoard, seen: Seen, host: str) -> Machine:
    """The kind of program for this machine; refused where its processor lacks what the compiler would use."""
    machine = board.machine(seen.machine)
    if missing := [f for f in machine.features if f not in seen.features]:
        raise EdgernnError(
            f"the processor of {host} lacks {', '.join(missing)}, which programs for {board.name} ({machine.name}) use; "
            "give another --board"
        )
    return machine


def available(board: LinuxBoard) -> tuple[list[str], list[str]]:
    """Compilers and emulators that are installed here for one or another kind of program of the board."""
    compilers = {name: None for machine in board.machines for name in available_toolchains(machine)}
    emulators = {machine.emulator[0]: None for machine in board.machines if shutil.which(machine.emulator[0])}
    return list(compilers), list(emulators)
