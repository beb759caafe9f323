"""C files to one static program for a Linux machine, run there, or here by qemu's user-mode emulation."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgernn.artifacts import write_bytes
from edgernn.errors import EdgernnError
from edgernn.hostcc import WARNINGS, run_tool
from targets.build import STARTUP_DIR
from targets.elf import read_symbols
from targets.linux_board import LINUX_DIR, LinuxBoard, Machine
from targets.run_qemu import counted, counting_obstacle, plugin_options
from targets.toolchain import find_toolchain

PROGRAM = LINUX_DIR / "program.c"  #: what every program around a model shares, see program.h
HARNESS = LINUX_DIR / "harness.c"  #: startup/board.h by Linux's own files: the test firmware as a program


@dataclass(frozen=True)
class Program:
    """A static program: it needs nothing of the machine but its kernel."""

    path: Path
    machine: Machine
    toolchain: str
    bytes: int


def build_static(
    sources: Sequence[Path], board: LinuxBoard, machine: Machine, out: Path, include: Sequence[Path],
    toolchain: str = "auto", optimize: str = "-O2", stripped: bool = True,
) -> Program:  # fmt: skip
    """Compile and link `sources`, one of which defines main, into `out`. EdgernnError with the compiler's first message.

    stripped: without symbols, which only `count_instructions` needs.
    """
    compiler = find_toolchain(machine, toolchain)
    folders = [f"-I{folder}" for folder in (*include, LINUX_DIR, STARTUP_DIR)]
    with tempfile.TemporaryDirectory(prefix="edgernn-build-") as scratch:
        linked = Path(scratch) / "program"
        linking = ["-static", *(["-s"] if stripped else []), "-o", str(linked)]
        done = run_tool([*compiler.command, *WARNINGS, optimize, *folders, *map(str, sources), *linking])
        if done.returncode:
            lines = done.stderr.splitlines() or ["no message"]
            told = [line for line in lines if "error" in line] or lines
            raise EdgernnError(f"{compiler.version} failed for {board.name} ({machine.name}): {told[0].strip()}")
        data = linked.read_bytes()
    write_bytes(out, data)
    out.chmod(0o755)
    return Program(out, machine, compiler.version, len(data))


def run_emulated(
    program: Program, args: Sequence[str], workdir: Path, sound: bytes = b"", timeout_s: float = 300.0
) -> subprocess.CompletedProcess[bytes]:
    """Run it here by the machine's emulator, as its own core; sound: what it reads on standard input."""
    return _run(program, (), args, workdir, sound, timeout_s)


def count_instructions(program: Program, args: Sequence[str], workdir: Path, timeout_s: float = 300.0) -> list[int]:
    """Instructions of each span between harness.c's markers, of a program that is not stripped."""
    binary = program.machine.emulator[0]
    if obstacle := counting_obstacle(binary):
        raise EdgernnError(f"{program.path.name} cannot be counted: {obstacle}")
    with tempfile.TemporaryDirectory() as scratch:
        counts = Path(scratch) / "counts"
        done = _run(program, plugin_options(read_symbols(program.path), counts), args, workdir, b"", timeout_s)
        if done.returncode:
            raise EdgernnError(f"{binary} failed with {program.path.name}: {done.stderr.decode(errors='replace').strip()}")
        return counted(counts.read_text(encoding="ascii"))[0]


def _run(
    program: Program, options: Sequence[str], args: Sequence[str], workdir: Path, sound: bytes, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    command = [*program.machine.emulator, *options, str(program.path.resolve()), *args]
    try:
        return subprocess.run(command, input=sound, capture_output=True, cwd=workdir, timeout=timeout_s)
    except FileNotFoundError:
        raise EdgernnError(f"{command[0]} is not installed (Debian: qemu-user)") from None
    except subprocess.TimeoutExpired:
        raise EdgernnError(f"the program for {program.machine.name} did not end within {timeout_s:g} s") from None
