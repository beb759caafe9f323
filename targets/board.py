"""Boards as data: one TOML file each, found by file name, checked against the dataclasses here."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from edgernn.errors import EdgernnError
from edgernn.extensions import folders
from targets.board_file import BoardFileError as _BoardError
from targets.board_file import check_name, load
from targets.board_file import read as _read
from targets.board_file import unknown as _unknown

PACKAGE_DIR = Path(__file__).parent
BOARDS_DIR = PACKAGE_DIR / "boards"
DEVICE_DIR = PACKAGE_DIR / "device"
_FOLDERS = ("data", "cache", "c", "tflite", "onnx", "packages")  #: of a run folder: a board's programs lie beside them
_VECTORS = 256  #: bytes to which a vector table is aligned at least


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
class Device:
    """What an application needs of a real board.

    chip: file of `device/chips`; boot: file of `device/boot`, for chips whose ROM asks for more than vectors; defines: what
    the chip's file wants to know; console, pin, microphone: in words, for people; twin: the emulated board on which
    instructions are counted; cycles_percent: cycles assumed for 100 instructions.
    """

    chip: str
    console: str
    pin: str
    microphone: str
    twin: str
    cycles_percent: int
    boot: str = ""
    defines: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Uf2:
    """The drive that a board's bootloader shows: its family number, the Board-ID in its INFO_UF2.TXT begins with board_id.

    enter: how to make the drive appear, in words.
    """

    family: int
    board_id: str
    enter: str


@dataclass(frozen=True)
class Tool:
    """A program that reaches the board, and how to get it.

    A flasher's command names files by {elf}, {hex}, {bin} and {uf2}; a probe's is a gdb server that listens on {port}.
    """

    command: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class ChipId:
    """A register by which a debugger knows the chip: of its word at `address`, the bits of `mask` are `value`."""

    address: int
    mask: int
    value: int


@dataclass(frozen=True)
class Board:
    """A machine: what its code is compiled with, where it lies, and what can run it.

    `family` names the start-up file; `clock_hz` is nominal and serves real-time estimates only;
    `stack_bytes` is the least stack a link must leave in `ram`; `flash_reads` is where loads find the flash, where that is not
    `flash.origin`. A tool that the board lacks is None.
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
    device: Device | None = None
    uf2: Uf2 | None = None
    flashers: tuple[Tool, ...] = ()
    probes: tuple[Tool, ...] = ()
    chip_id: ChipId | None = None
    flash_reads: int | None = None

    @property
    def kind(self) -> str:
        """What it is called in a message."""
        return "board"

    @property
    def digest(self) -> str:
        """Twelve hex digits that follow everything the board's file says."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

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

    Raises EdgernnError when there is none, or when a key is unknown, missing or of a wrong type; it names the line.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in list_boards():
            raise EdgernnError(_unknown("board", str(name_or_path), list_boards()))
        path = _board_files()[str(name_or_path)]
    return load(path, Board, _check)


def _check(board: Board) -> None:
    for key, name in (("name", board.name), ("family", board.family)):  # they name files
        check_name((key,), name)
    if board.name in _FOLDERS:
        raise _BoardError(("name",), f"{board.name!r} is a folder of every run; choose another name.")
    if not board.startup.is_file():
        families = sorted(file.stem.replace("_", "-") for file in board.startup.parent.glob("*.S"))
        raise _BoardError(("family",), _unknown("family", board.family, families))
    numbers = {"clock_hz": board.clock_hz, "stack_bytes": board.stack_bytes, "flash": board.flash.size, "ram": board.ram.size}
    for key, number in numbers.items():
        if number <= 0:
            raise _BoardError((key,), "clock_hz, stack_bytes and sizes must be positive.")
        if number > 10**11:
            raise _BoardError((key,), "clock_hz, stack_bytes and sizes end at 10^11.")
    for key, memory in (("flash", board.flash), ("ram", board.ram)):
        if memory.origin < 0 or memory.origin + memory.size > 1 << 32:
            raise _BoardError((key,), f"origin and size must lie within 32 bits, not {memory.origin:#x} and {memory.size:#x}.")
    _check_overlap(board)
    if board.flash.origin % _VECTORS:
        raise _BoardError(("flash",), f"origin {board.flash.origin:#x} is no multiple of {_VECTORS}, as vectors need.")
    if board.device:
        _check_device(board.device)
    _check_writing(board)


def _check_overlap(board: Board) -> None:
    """No two of flash, the flash as loads find it, and RAM may share an address."""
    regions = {"flash": board.flash, "ram": board.ram}
    if board.flash_reads is not None:
        if not 0 <= board.flash_reads <= (1 << 32) - board.flash.size:
            raise _BoardError(("flash_reads",), f"it must lie within 32 bits, not at {board.flash_reads:#x}.")
        regions["flash_reads"] = Memory(board.flash_reads, board.flash.size)
    for (first, a), (second, b) in itertools.combinations(regions.items(), 2):
        if a.origin < b.origin + b.size and b.origin < a.origin + a.size:
            raise _BoardError((second,), f"{first} and {second} overlap; correct their origins and sizes.")


def _check_writing(board: Board) -> None:
    if board.uf2 and (not board.uf2.board_id.strip() or not 0 <= board.uf2.family < 1 << 32):
        raise _BoardError(("uf2",), "board_id must not be empty, and family lie within 32 bits.")
    _check_commands("flashers", board.flashers, ("elf", "hex", "bin", "uf2"))
    _check_commands("probes", board.probes, ("elf", "port"))
    if any("{port}" not in " ".join(probe.command) for probe in board.probes):
        raise _BoardError(("probes", "command"), "it must say by {port} where the gdb server listens.")
    if board.chip_id and not all(0 <= n < 1 << 32 for n in dataclasses.astuple(board.chip_id)):
        raise _BoardError(("chip_id",), "address, mask and value lie within 32 bits.")
    if board.chip_id and (board.chip_id.value & ~board.chip_id.mask or not board.chip_id.mask):
        raise _BoardError(("chip_id",), "value has bits outside of mask, so no chip could be the right one.")


def _check_commands(key: str, tools: tuple[Tool, ...], files: tuple[str, ...]) -> None:
    for tool in tools:
        named = re.compile(rf"\{{({'|'.join(files)})\}}")
        wrong = [w for w in tool.command if "\0" in w or re.search(r"[{}]", named.sub("", w))]
        if not tool.command or not tool.command[0] or wrong:
            *most, last = (f"{{{name}}}" for name in files)
            rule = f"there must be words; they may hold {', '.join(most)} and {last}, and no other braces."
            raise _BoardError((key, "command"), rule)


def _check_device(device: Device) -> None:
    for key, value, known in (
        ("chip", device.chip, [file.stem for file in (DEVICE_DIR / "chips").glob("*.c")]),
        ("boot", device.boot, ["", *(file.stem for file in (DEVICE_DIR / "boot").glob("*.S"))]),
        ("twin", device.twin, list_boards()),
    ):
        if value not in known:
            raise _BoardError(("device", key), _unknown(key, value, sorted(filter(None, known))))
    for name, number in device.defines.items():
        if not re.fullmatch(r"DEVICE_[A-Z0-9_]{1,40}", name) or not -(1 << 31) <= number < 1 << 32:
            raise _BoardError(("device", "defines"), "names are DEVICE_.., values lie within 32 bits.")
    if device.chip == "rp2" and not device.boot:
        raise _BoardError(("device", "chip"), 'the boot ROM of an rp2 needs boot = "rp2040" or "rp2350".')
    if not {"qemu", "unicorn"} & set(_read(_board_files()[device.twin])):
        raise _BoardError(("device", "twin"), f"{device.twin!r} is no emulated board, so nothing can be counted on it.")
    if not 50 <= device.cycles_percent <= 1000:
        raise _BoardError(("device", "cycles_percent"), f"{device.cycles_percent} must lie in 50..1000.")
