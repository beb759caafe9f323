"""QEMU: semihosting for files and exit codes, a small plugin for instruction counts."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edgernn.artifacts import write_bytes
from edgernn.errors import EdgernnError
from edgernn.hostcc import cache_dir, host_compiler, run_tool
from targets.board import PACKAGE_DIR, Board
from targets.run_types import COUNT_START, COUNT_STOP, Job, RunResult, timed_out

COUNTING_VERSION = "7.2"
"""The only QEMU whose plugin interface the counts were verified with."""

_PLUGIN_SOURCE = PACKAGE_DIR / "qemu" / "count_plugin.c"
_PLUGIN_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2", "-shared", "-fPIC")


def obstacle(board: Board, count: bool) -> str | None:
    """Why QEMU cannot run (or count) this board here, or None when it can."""
    if board.qemu is None:
        return "QEMU has no machine for it"
    if shutil.which(board.qemu.binary) is None:
        return f"{board.qemu.binary} is not installed"
    return counting_obstacle(board.qemu.binary) if count else None


def counting_obstacle(binary: str) -> str | None:
    """Why this QEMU, which is installed, cannot count instructions, or None when it can."""
    version = _version(binary)
    if not version.startswith(COUNTING_VERSION + "."):
        return f"instruction counts need QEMU {COUNTING_VERSION}, and {binary} is {version}"
    return None


def run(job: Job) -> RunResult:
    """Runs the job; see `targets.emulate.run`."""
    assert job.board.qemu is not None
    emulator = f"QEMU {_version(job.board.qemu.binary)}"
    with tempfile.TemporaryDirectory() as scratch:
        counts = Path(scratch) / "counts"
        command = _command(job) + (plugin_options(job.firmware.symbols, counts) if job.count else [])
        try:
            done = subprocess.run(
                command, cwd=job.workdir, stdin=subprocess.DEVNULL, capture_output=True, timeout=job.timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise timed_out(job, emulator) from error
        _check(done, job, emulator)
        instructions, by_address = counted(counts.read_text(encoding="ascii")) if job.count else ([], {})
    return RunResult(done.returncode, done.stdout.decode(errors="replace"), instructions, emulator, by_address)


def counted(text: str) -> tuple[list[int], dict[int, int]]:
    """What the plugin wrote: instructions of each span, and of all spans by the address where a block begins."""
    spans, by_address = [], Counter[int]()
    for line in text.splitlines():
        if line.startswith("@"):
            address, count = map(int, line[1:].split())
            by_address[address] += count  # a block may be translated again
        else:
            spans.append(int(line))
    return spans, dict(by_address)


def _command(job: Job) -> list[str]:
    assert job.board.qemu is not None
    # An empty argument keeps QEMU from making up a command line of its own.
    args = "".join(f",arg={_escape(arg)}" for arg in job.args or ("",))
    return [
        *(job.board.qemu.binary, "-M", job.board.qemu.machine, *job.board.qemu.args),
        *("-kernel", str(job.firmware.elf.resolve())),
        *("-display", "none", "-serial", "none", "-monitor", "none", "-nodefaults"),
        *("-chardev", "stdio,id=console"),
        *("-semihosting-config", f"enable=on,target=native,chardev=console{args}"),
    ]


def plugin_options(symbols: Mapping[str, int], counts: Path) -> list[str]:
    """Words of QEMU's command line that have the instructions between the two markers counted: a line a span in `counts`."""
    span = f"start={symbols[COUNT_START]:#x},stop={symbols[COUNT_STOP]:#x}"
    return ["-plugin", f"file={_escape(str(_plugin()))},{span},out={_escape(str(counts))}"]


def _escape(value: str) -> str:
    return value.replace(",", ",,")


def _check(done: subprocess.CompletedProcess[bytes], job: Job, emulator: str) -> None:
    """Tells the firmware's exit code from QEMU's own failure, which is 1 with a message or a signal."""
    assert job.board.qemu is not None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    messages = [line for line in lines if ": warning: " not in line]
    own = [line for line in messages if line.startswith(f"{job.board.qemu.binary}: ")]
    if done.returncode < 0 or (done.returncode == 1 and own):
        reason = (own or messages or [f"signal {-done.returncode}"])[0]
        raise EdgernnError(f"{emulator} failed with {job.firmware.elf.name} on {job.board.name!r}: {reason}")


@cache
def _version(binary: str) -> str:
    text = run_tool([binary, "--version"]).stdout
    found = re.search(r"version (\S+)", text)
    return found.group(1) if found else "of unknown version"


def _plugin() -> Path:
    """The compiled plugin, from the user's cache: built once per source and compiler."""
    command = [*host_compiler(), *_PLUGIN_FLAGS]
    key = hashlib.sha256(_PLUGIN_SOURCE.read_bytes() + " ".join(command).encode()).hexdigest()[:16]
    plugin = cache_dir() / f"count_plugin-{key}.so"
    if not plugin.is_file():
        with tempfile.TemporaryDirectory() as scratch:
            built = Path(scratch) / "plugin.so"
            done = run_tool([*command, str(_PLUGIN_SOURCE), "-o", str(built)])
            if done.returncode != 0:
                raise EdgernnError(f"{command[0]} cannot build QEMU's counting plugin: {done.stderr.strip()}")
            write_bytes(plugin, built.read_bytes())
    return plugin
