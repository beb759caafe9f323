"""A board behind a gdb server: OpenOCD, pyocd, J-Link, Black Magic Probe, QEMU. gdb loads the firmware and serves its files.

The firmware is the emulators' own: its semihosting calls reach gdb as file operations, which gdb does in its own folder.
OpenOCD is told to pass them on; pyocd wants `--semihosting --semihost-use-syscalls`, QEMU `target=gdb`. Arguments are put into
the firmware's hands at its first question, since no two servers take them the same way.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from edgernn.errors import EdgernnError
from targets.board import Board
from targets.run_types import COUNT_START, COUNT_STOP, Job, RunResult, timed_out

DEBUGGERS = ("gdb-multiarch", "arm-none-eabi-gdb", "riscv64-unknown-elf-gdb")
PREFIX = "gdb:"
_OTHER_CHIP = "another chip"
#: of each chip family: where a function finds its first argument and its caller, and the core's cycle counter
_FAMILIES = {
    "cortex-m": ("$r0", "$lr & ~1", "{unsigned int}0xE0001004"),  # DWT_CYCCNT
    "riscv32": ("$a0", "$ra", "$mcycle"),
}
#: what OpenOCD needs to be told; other servers answer that they do not know it
_MONITOR = ("monitor reset halt", "monitor arm semihosting enable", "monitor arm semihosting_fileio enable")
#: DEMCR.TRCENA, then DWT_CTRL.CYCCNTENA
_COUNTER_ON = {
    "cortex-m": ("set {unsigned int}0xE000EDFC = {unsigned int}0xE000EDFC | 0x1000000",
                 "set {unsigned int}0xE0001000 = {unsigned int}0xE0001000 | 1"),
    "riscv32": (),
}  # fmt: skip


def run(job: Job) -> RunResult:
    """Load and run the job on the board behind `job.server`; its files lie in `job.workdir`."""
    text = _session(job, [])
    return RunResult(_exit_code(job, text), text, [], f"gdb {job.server}")


def cycles(job: Job) -> list[int]:
    """Cycles of each counted span by the core's own counter; empty where the core has none."""
    counter = _FAMILIES[job.board.family][2]
    spans = []
    for marker in (COUNT_START, COUNT_STOP):
        said = f'printf "{marker} %u\\n", (unsigned int)({counter})'
        spans += [f"hbreak *{marker}", "commands", "silent", said, "continue", "end"]
    text = _session(job, [*_COUNTER_ON[job.board.family], *spans])
    _exit_code(job, text)
    read = [int(value) for value in re.findall(rf"^(?:{COUNT_START}|{COUNT_STOP}) (\d+)$", text, re.MULTILINE)]
    found = [(end - begin) % (1 << 32) for begin, end in zip(read[::2], read[1::2], strict=False)]
    return found if any(found) else []


def _session(job: Job, more: list[str]) -> str:
    """All that gdb printed from the connection to the firmware's end."""
    argument, caller, _ = _FAMILIES[job.board.family]
    line = " ".join(job.args)
    script = [
        *_same_chip(job.board), "load", "thbreak *board_cmdline", "continue",
        f'set {{char [{len(line) + 1}]}}{argument} = "{line}"', f"set {argument} = {len(line)}",
        f"set $pc = {caller}", *more, "continue",
    ]  # fmt: skip
    path = job.workdir / ".edgernn.gdb"
    path.write_text("\n".join(script) + "\n", encoding="utf-8")
    before = ("set pagination off", "set confirm off", "set width 0", f"target remote {job.server}", *_MONITOR)
    words = [x for c in before for x in ("-ex", c)]
    command = [_debugger(), "-nx", "-batch", *words, "-x", path.name, str(job.firmware.elf.resolve())]
    try:
        done = subprocess.run(command, cwd=job.workdir, stdin=subprocess.DEVNULL, capture_output=True, timeout=job.timeout_s)
    except subprocess.TimeoutExpired as error:
        raise timed_out(job, f"gdb {job.server}") from error
    finally:
        path.unlink(missing_ok=True)
    return (done.stdout + done.stderr).decode(errors="replace")


def _same_chip(board: Board) -> list[str]:
    """gdb's lines that end the session before anything is written to another chip."""
    if board.chip_id is None:
        return []
    word = f"{{unsigned int}}{board.chip_id.address:#x}"
    said = f'printf "{_OTHER_CHIP} 0x%x\\n", {word}'
    return [f"if ({word} & {board.chip_id.mask:#x}) != {board.chip_id.value:#x}", said, "quit 1", "end"]


def _debugger() -> str:
    found = next((name for name in DEBUGGERS if shutil.which(name)), None)
    if found is None:
        raise EdgernnError(f"a gdb for other cores is missing ({', '.join(DEBUGGERS)}): on Debian `apt install gdb-multiarch`")
    return found


def _exit_code(job: Job, text: str) -> int:
    """The firmware's; a session that did not come to its end is an EdgernnError with gdb's own words."""
    if "exited normally" in text:
        return 0
    if found := re.search(r"exited with code (\d+)", text):
        return int(found[1], 8)
    if "could not connect" in text or "Connection timed out" in text or "Connection refused" in text:
        raise EdgernnError(f"no gdb server answers at {job.server}; start one (openocd, pyocd gdbserver), and check the port")
    if (found := re.search(rf"{_OTHER_CHIP} (\S+)", text)) and (chip := job.board.chip_id):
        raise EdgernnError(
            f"the chip at {job.server} is not {job.board.name}'s: {chip.address:#x} reads {found[1]}, and {chip.value:#x} in "
            f"{chip.mask:#x} is expected; nothing was written (another board, or `chip_id` in the board's file is wrong)"
        )
    told = [x.strip() for x in text.splitlines() if x.strip() and not x.startswith(("Loading section", "Start address"))]
    raise EdgernnError(f"{job.board.name} at {job.server} did not come to its end: {(told or ['gdb said nothing'])[-1]}")


def obstacle_of(server: str, family: str) -> str | None:
    """Why a board cannot be reached that way, or None."""
    if not re.fullmatch(r"[\w.-]*:\d{1,5}", server):
        return f"{server!r} is not HOST:PORT"
    return None if family in _FAMILIES else f"family {family} is not known to the gdb runner"
