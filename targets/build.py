"""Compiles and links C files into firmware for a board, and measures what it takes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgernn.artifacts import write_bytes
from edgernn.errors import EdgernnError
from edgernn.hostcc import run_tool
from targets.board import PACKAGE_DIR, Board, Memory
from targets.elf import Section, read_elf
from targets.toolchain import Toolchain, find_toolchain

STARTUP_DIR = PACKAGE_DIR / "startup"
COMPILE_FLAGS = (
    *("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"),
    *("-ffreestanding", "-ffunction-sections", "-fdata-sections"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
)
#: zig brings its own runtime library, and asks its linker for _start unless told otherwise
_LINK_FLAGS = {
    "gcc": ("-Wl,--no-warn-rwx-segments", "-lgcc"),
    "zig": ("-Wl,--entry=board_reset", "-Wl,-z,max-page-size=4096"),
}
_OVERFLOW = re.compile(r"region [`'](FLASH|READS|RAM)'.*?overflowed by (\d+) bytes")


@dataclass(frozen=True)
class Firmware:
    """A linked ELF file and its costs in bytes.

    `flash_bytes` is code, constants and the initial values of variables; `ram_bytes` is variables
    without the stack. `symbols` maps a name to its address, without the Thumb mode bit.
    """

    elf: Path
    board: str
    toolchain: str
    flash_bytes: int
    ram_bytes: int
    sections: tuple[Section, ...]
    symbols: dict[str, int]


def build(
    sources: Sequence[Path],
    board: Board,
    out_elf: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str | int] | None = None,
    toolchain: Toolchain | None = None,
    optimize: str = "-O2",
) -> Firmware:
    """Builds `sources` (one defines main) with the board's start-up code into `out_elf`.

    Without `toolchain`, the first installed one is used. Raises EdgernnError with the compiler's
    first message when the sources do not compile, and with the numbers when they do not fit.
    """
    chosen = toolchain or find_toolchain(board)
    with tempfile.TemporaryDirectory(prefix="edgernn-build-") as scratch:
        script, linked = Path(scratch) / "link.ld", Path(scratch) / "firmware.elf"
        script.write_text(_linker_script(board), encoding="utf-8")
        options = [f"-D{name}={value}" for name, value in (defines or {}).items()]
        options += [f"-I{folder}" for folder in (*include_dirs, STARTUP_DIR)]
        files = [*sources, *sorted(STARTUP_DIR.glob("*.c")), board.startup]
        link = ["-nostdlib", f"-T{script}", "-Wl,--gc-sections", *_LINK_FLAGS[chosen.name], "-o", str(linked)]
        command = [*chosen.command, *COMPILE_FLAGS, optimize, *options, *map(str, files), *link]
        done = run_tool(command)
        if done.returncode != 0:
            raise EdgernnError(_explain(done.stderr, board, chosen))
        write_bytes(out_elf, linked.read_bytes())
    return _measure(out_elf, board, chosen)


def _linker_script(board: Board) -> str:
    def region(name: str, memory: Memory) -> str:
        return f"    {name} : ORIGIN = {memory.origin:#x}, LENGTH = {memory.size:#x}\n"

    regions, reads = region("FLASH (rx)", board.flash) + region("RAM (rw)", board.ram), 'REGION_ALIAS("READS", FLASH)\n'
    if board.flash_reads is not None:
        regions, reads = regions + region("READS (r)", Memory(board.flash_reads, board.flash.size)), ""
    symbols = f"board_stack_bytes = {board.stack_bytes};\nboard_split = {int(not reads)};\n"
    return f"MEMORY {{\n{regions}}}\n{reads}{symbols}{(STARTUP_DIR / 'link.ld').read_text(encoding='utf-8')}"


def _measure(elf: Path, board: Board, toolchain: Toolchain) -> Firmware:
    parsed = read_elf(elf)
    variables = [s for s in parsed.sections if s.writable and s.name not in (".stack", ".skip")]
    return Firmware(
        elf=elf,
        board=board.name,
        toolchain=toolchain.version,
        flash_bytes=sum(s.size for s in parsed.sections if s.stored),
        ram_bytes=sum(s.size for s in variables),
        sections=parsed.sections,
        symbols=parsed.symbols,
    )


def _explain(messages: str, board: Board, toolchain: Toolchain) -> str:
    overflow: dict[str, int] = {}
    for region, excess in _OVERFLOW.findall(messages):
        region = region.replace("READS", "FLASH")  # one memory at two addresses
        overflow[region] = max(overflow.get(region, 0), int(excess))
    if overflow:
        return f"The firmware does not fit board {board.name!r}: {_needs(board, overflow)}."
    lines = [line.strip() for line in messages.splitlines()] or ["no message"]
    telling = [line for line in lines if "error: " in line or "undefined reference" in line]
    return f"{toolchain.version} failed for board {board.name!r}: {(telling or lines)[0]}"


def _needs(board: Board, overflow: Mapping[str, int]) -> str:
    sizes = {
        "FLASH": (board.flash.size, ""),
        "RAM": (board.ram.size, f", {board.stack_bytes} bytes of stack included"),
    }
    return "; ".join(
        f"{region} needs {sizes[region][0] + excess} bytes of {sizes[region][0]} available{sizes[region][1]}"
        for region, excess in sorted(overflow.items())
    )
