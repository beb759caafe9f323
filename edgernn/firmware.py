"""Build a graph for a board, run it in an emulator, and compare every bit with the definition."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.runtimes import Trace, make_runtime
from edgernn.runtimes.c import PREFIX
from edgernn.signal.audio import Int16, write_wav
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, STACK_BYTES, c_sources, export_c
from firmware_export.kernels import PLAIN, find_kernel
from firmware_export.parts import by_part
from firmware_export.plan import make_plan, split_states, state_bytes
from targets import Board, Firmware, build, choose_emulator, find_toolchain, load_board, run
from targets.elf import read_elf
from targets.run_types import RunResult

COUNTED_STEPS = 50


@dataclass(frozen=True)
class FirmwareReport:
    """What a build for one board costs. Bytes; flash holds code, weights and tables, ram all variables without the stack.

    state_bytes: the model's state struct, what a firmware of one's own pays of the RAM; the rest is the test firmware's.
    """

    board: str
    cpu: str
    graph: str
    scheme: str
    toolchain: str
    optimize: str
    kernel: str
    flash_bytes: int
    ram_bytes: int
    state_bytes: int
    weight_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class EmulationReport:
    """What a run on an emulated core showed.

    bits_differing: entries of output, features, logits, posteriors and carried states that differ from the definition;
    instructions_per_step: retired instructions of one step, mean over `counted_steps`; instructions_by_part: the same of each
    part of a step (`firmware_export/parts.py`).
    """

    board: str
    graph: str
    emulator: str
    steps: int
    entries: int
    bits_differing: int
    events: int
    stack_bytes: int
    counted_steps: int
    instructions_per_step: float
    instructions_per_second: float
    mhz_for_real_time: float
    instructions_by_part: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def check_board(name: str) -> None:
    """Refuse a board that this machine cannot build for and emulate, before an hour of training."""
    board = load_board(name)
    find_toolchain(board)
    choose_emulator(board, count=True)


def build_firmware(
    g: NetGraph, board: Board, folder: Path, toolchain: str = "auto", optimize: str = "-O2", kernel: str = PLAIN
) -> tuple[Firmware, FirmwareReport]:
    """Export the graph into `folder`/src and compile it with its task's test firmware for the board.

    kernel: a name, "plain", or "auto": the one for the board's core, where there is one.
    """
    task, source, chosen = task_of(g), folder / "src", find_kernel(kernel, board.cpu)
    export_c(g, source, PREFIX, chosen)
    compiler = find_toolchain(board, toolchain)
    firmware = build(
        [task.harness(), *(source / name for name in c_sources(task, chosen))], board, folder / f"{board.name}.elf",
        include_dirs=[source, BOARD_DRIVER], toolchain=compiler, optimize=optimize,
    )  # fmt: skip
    report = FirmwareReport(
        board=board.name, cpu=board.cpu, graph=g.id, scheme=g.scheme, toolchain=firmware.toolchain, optimize=optimize,
        kernel=chosen.name if chosen else PLAIN,
        flash_bytes=firmware.flash_bytes, ram_bytes=firmware.ram_bytes,
        state_bytes=state_bytes(g, make_plan(g, chosen), task.members(g)), weight_bytes=g.weight_bytes,
    )  # fmt: skip
    return firmware, report


def run_firmware(g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto") -> EmulationReport:
    """Run PCM [n] through the emulated firmware, compare with NumPy bit by bit, and count instructions over 50 steps."""
    pcm = pcm[: len(pcm) // g.step_samples * g.step_samples]
    if not len(pcm):
        raise EdgernnError(f"the recording is shorter than one step of {g.step_samples} samples; give a longer one")
    trace, total = emulated_trace(g, firmware, board, pcm, emulator)
    difference = sum(make_runtime("numpy", g).run(pcm).differing(trace).values())
    entries = sum(a.size for _, a in trace.arrays())
    return emulation_report(g, firmware, board, pcm, emulator, total, entries, difference)


def emulation_report(
    g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str, total: list[int], entries: int, differing: int
) -> EmulationReport:
    """Count instructions over the first 50 steps of PCM [n] and put all figures together; total: the firmware's five."""
    counted = pcm[: COUNTED_STEPS * g.step_samples]
    done = counted_run(g, firmware, board, counted, emulator)
    counts = done.instructions
    per_step = float(np.mean(counts))
    if total[3] > STACK_BYTES:
        raise EdgernnError(f"{board.name}: one step took {total[3]} bytes of stack, the header promises {STACK_BYTES}")
    return EmulationReport(
        board=board.name, graph=g.id, emulator=done.emulator, steps=total[1],
        entries=entries, bits_differing=differing, events=total[2],
        stack_bytes=total[3], counted_steps=len(counts), instructions_per_step=per_step,
        instructions_per_second=per_step * g.steps_per_second,
        mhz_for_real_time=round(per_step * g.steps_per_second / 1e6, 2),
        instructions_by_part={part: n / len(counts) for part, n in _by_part(firmware, done).items()},
    )  # fmt: skip


def emulated_trace(
    g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto"
) -> tuple[Trace, list[int]]:
    """Everything the firmware computed over PCM [n], and its five totals."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_wav(folder / "in.wav", pcm, g.sample_rate)
        done = run(firmware, board, args=("in.wav", "out.bin"), workdir=folder, emulator=emulator, timeout_s=540)
        _expect_success(board, done.exit_code, done.console)
        total = np.fromfile(folder / "out.bin.sum", "<u4").tolist()
        raw = np.fromfile(folder / "out.bin", np.uint8).reshape(total[1], total[4])
    if total[0]:
        raise EdgernnError(f"{board.name}: the firmware's self-test failed at output {total[0] - 1}")
    return parsed_trace(g, raw), total


def count_instructions(
    g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto"
) -> tuple[list[int], str]:
    """Retired instructions of each step over PCM [n], and the emulator's name."""
    done = counted_run(g, firmware, board, pcm, emulator)
    return done.instructions, done.emulator


def _by_part(firmware: Firmware, done: RunResult) -> dict[str, int]:
    """Instructions of all steps by their part; the firmware's C lies beside it."""
    if not done.by_address:
        return {}
    return by_part(read_elf(firmware.elf).by_function(done.by_address), firmware.elf.parent / "src")


def counted_run(g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto") -> RunResult:
    """The firmware over PCM [n], a counted span a step."""
    with tempfile.TemporaryDirectory() as scratch:
        write_wav(Path(scratch) / "in.wav", pcm, g.sample_rate)
        done = run(firmware, board, args=("in.wav", "o", "count"), workdir=Path(scratch), emulator=emulator, count=True,
                   timeout_s=540)  # fmt: skip
        _expect_success(board, done.exit_code, done.console)
    return done


def _expect_success(board: Board, code: int, console: str) -> None:
    if code:
        raise EdgernnError(f"{board.name}: the firmware ended with code {code} {console.strip()}".rstrip())


def parsed_trace(g: NetGraph, raw: NDArray[np.uint8]) -> Trace:
    """The firmware's dump, bytes [S, n] of output, features, scores and states -> a trace."""
    feature, output = np.dtype(np.int8 if g.affine.bits == 8 else "<i2"), np.dtype(g.output.dtype).newbyteorder("<")
    sizes = (g.output.width * output.itemsize, g.frames_per_step * g.bands * feature.itemsize, 2 * g.scores, 2 * g.scores)
    ends = np.cumsum((0, *sizes))
    parts = [np.ascontiguousarray(raw[:, a:b]) for a, b in itertools.pairwise(ends)]
    features = parts[1].view(feature).astype(np.int16).reshape(-1, g.bands)
    return Trace(
        features, parts[2].view("<i2"), parts[3].view("<i2"), split_states(g, raw[:, ends[-1] :]), parts[0].view(output)
    )
