"""Unicorn: a CPU without a machine around it; memory, semihosting and counts are done here."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgernn.errors import EdgernnError, extra_command
from targets.board import Board
from targets.elf import Elf, read_elf
from targets.run_types import COUNT_START, COUNT_STOP, Job, RunResult, timed_out
from targets.semihost import Host

Cpu = Any
"""A unicorn.Uc; that package's functions carry no types."""

FAULT_EXIT = 125
"""As BOARD_EXIT_FAULT in board.h: the firmware's handler does not run here, unicorn raises instead."""

_PAGE = 0x1000
_NOWHERE = 0xFFFF_FFFE


@dataclass(frozen=True)
class _Isa:
    """What differs between instruction sets.

    `registers`: program counter, operation and result, parameter block. `mode_bit` is set in a
    program counter that is written. `is_long` tells from an instruction's first half-word whether
    there is a second. `peripherals` are pages that start-up code writes to, without effect here.
    """

    registers: tuple[str, str, str]
    mode_bit: int
    trap_bytes: int
    is_long: Callable[[int], bool]
    peripherals: tuple[int, ...]


_ISAS = {
    "arm": _Isa(("PC", "R0", "R1"), 1, 2, lambda half: half >= 0xE800, (0xE000E000,)),
    "riscv": _Isa(("PC", "A0", "A1"), 0, 4, lambda half: half & 3 == 3, ()),
}


def obstacle(board: Board, count: bool) -> str | None:
    """Why Unicorn cannot run this board here, or None when it can; where it runs, it counts too."""
    if board.unicorn is None:
        return "Unicorn has no model of its CPU"
    if board.unicorn.arch not in _ISAS:
        return f"Unicorn's {board.unicorn.arch!r} is none of {', '.join(_ISAS)}"
    if importlib.util.find_spec("unicorn") is None:
        return f"the Python package unicorn is not installed: {extra_command('emulate')}"
    return None


def run(job: Job) -> RunResult:
    """Runs the job; see `targets.emulate.run`."""
    assert job.board.unicorn is not None
    unicorn = _unicorn()
    emulator = f"unicorn {unicorn.__version__}"
    isa = _ISAS[job.board.unicorn.arch]
    elf = read_elf(job.firmware.elf)
    cpu = _create(job.board, isa, elf)
    host = Host(cpu.mem_read, cpu.mem_write, job.workdir, " ".join(job.args))
    _serve_traps(cpu, isa, job.board, elf.symbols["semihost_trap"], host)
    spans, by_address = _count_spans(cpu, isa, elf) if job.count else ([], {})
    try:
        cpu.emu_start(elf.entry | isa.mode_bit, _NOWHERE, timeout=int(job.timeout_s * 1e6))
    except unicorn.UcError:
        host.console += b"HardFault\n"
        host.exit_code = FAULT_EXIT
    finally:
        host.close()
    if host.exit_code is None:
        raise timed_out(job, emulator)
    return RunResult(host.exit_code, host.console.decode(errors="replace"), spans, emulator, by_address)


def _create(board: Board, isa: _Isa, elf: Elf) -> Cpu:
    """A CPU with the board's memory, flash read-only, and the firmware loaded."""
    assert board.unicorn is not None
    unicorn = _unicorn()
    mode = sum(_constant("unicorn", f"UC_MODE_{name}", board) for name in board.unicorn.modes)
    cpu = unicorn.Uc(_constant("unicorn", f"UC_ARCH_{board.unicorn.arch.upper()}", board), mode)
    names = f"unicorn.{board.unicorn.arch}_const"
    cpu.ctl_set_cpu_model(_constant(names, f"UC_CPU_{board.unicorn.cpu}", board))
    _map(cpu, board.flash.origin, board.flash.size, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
    _map(cpu, board.ram.origin, board.ram.size, unicorn.UC_PROT_ALL)
    for page in isa.peripherals:
        _map(cpu, page, _PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
    for segment in elf.segments:
        cpu.mem_write(segment.address, segment.data)
    return cpu


def _unicorn() -> Any:
    return importlib.import_module("unicorn")


def _map(cpu: Cpu, origin: int, size: int, rights: int) -> None:
    cpu.mem_map(origin, -(-size // _PAGE) * _PAGE, rights)


def _constant(module: str, name: str, board: Board) -> int:
    value = getattr(importlib.import_module(module), name, None)
    if not isinstance(value, int):
        raise EdgernnError(f"Board {board.name!r}: this unicorn has no {name}.")
    return value


def _serve_traps(cpu: Cpu, isa: _Isa, board: Board, trap: int, host: Host) -> None:
    """Hooks the one trapping instruction's address: unicorn reports ebreak as an invalid instruction."""
    assert board.unicorn is not None
    arch = board.unicorn.arch
    pc, result, block = (_constant(f"unicorn.{arch}_const", f"UC_{arch.upper()}_REG_{name}", board) for name in isa.registers)

    def on_trap(cpu: Cpu, address: int, size: int, data: object) -> None:
        answer = host.call(cpu.reg_read(result), cpu.reg_read(block))
        cpu.reg_write(result, answer & 0xFFFF_FFFF)
        cpu.reg_write(pc, (address + isa.trap_bytes) | isa.mode_bit)
        if host.exit_code is not None:
            cpu.emu_stop()

    cpu.hook_add(_unicorn().UC_HOOK_CODE, on_trap, begin=trap, end=trap)


def _count_spans(cpu: Cpu, isa: _Isa, elf: Elf) -> tuple[list[int], dict[int, int]]:
    """Hooks every translated block; gives what fills while the CPU runs: each span, and all of them by a block's address.

    A block's instructions are counted from its bytes, as QEMU's plugin does: a hook per instruction
    is slower and skips what an IT block predicates away, though the core spends its slot on it.
    """
    start, stop = elf.symbols[COUNT_START], elf.symbols[COUNT_STOP]
    spans: list[int] = []
    by_address = Counter[int]()
    lengths: dict[tuple[int, int], int] = {}
    running: list[int] = []

    def on_block(cpu: Cpu, address: int, size: int, data: object) -> None:
        if address == start:
            running[:] = [0]
        elif address == stop:
            spans.extend(running)
            running.clear()
        elif running:
            key = (address, size)
            if key not in lengths:
                lengths[key] = _instructions(cpu.mem_read(address, size), isa)
            running[0] += lengths[key]
            by_address[address] += lengths[key]

    cpu.hook_add(_unicorn().UC_HOOK_BLOCK, on_block)
    return spans, by_address


def _instructions(code: bytes | bytearray, isa: _Isa) -> int:
    count = at = 0
    while at < len(code):
        at += 4 if isa.is_long(int.from_bytes(code[at : at + 2], "little")) else 2
        count += 1
    return count
