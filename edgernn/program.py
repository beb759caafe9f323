"""A graph as a static program for a Linux machine, and its test firmware there, compared with the definition bit by bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.firmware import parsed_trace
from edgernn.runtimes import make_runtime
from edgernn.runtimes.c import PREFIX
from edgernn.signal.audio import Int16, write_wav
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, c_sources, export_c, export_program
from firmware_export.kernels import PLAIN, Kernel, find_kernel
from targets.linux_board import LinuxBoard, Machine
from targets.linux_build import HARNESS, PROGRAM, Program, build_static, run_emulated


def make_program(
    g: NetGraph, board: LinuxBoard, machine: Machine, out: Path, toolchain: str = "auto", optimize: str = "-O2",
    kernel: str = PLAIN,
) -> Program:  # fmt: skip
    """Build the graph's program for a machine into the file `out`.

    kernel: faster C by name, "plain", or "auto": the one for the machine's core, where there is one.
    """
    chosen = machine_kernel(machine, kernel)
    with tempfile.TemporaryDirectory(prefix="edgernn-program-") as scratch:
        folder = Path(scratch)
        source = export_program(g, folder, chosen)
        parts = [source, *(folder / name for name in c_sources(task_of(g), chosen)), PROGRAM]
        return build_static(parts, board, machine, out, [folder], toolchain, optimize)


def machine_kernel(machine: Machine, kernel: str) -> Kernel | None:
    """The kernel of that name for the machine, None for the plain C; one that is for other cores is refused."""
    return find_kernel(kernel, machine.core or machine.name)


def kernel_name(machine: Machine, kernel: str) -> str:
    """What `machine_kernel` chooses, by its name."""
    chosen = machine_kernel(machine, kernel)
    return chosen.name if chosen else PLAIN


def compare_emulated(
    g: NetGraph, board: LinuxBoard, machine: Machine, pcm: Int16, toolchain: str = "auto", optimize: str = "-O2",
    kernel: str = PLAIN,
) -> dict[str, Any]:  # fmt: skip
    """The test firmware as a program of the machine, run here by its emulator over PCM [n]: what differs from NumPy."""
    pcm, chosen = pcm[: len(pcm) // g.step_samples * g.step_samples], machine_kernel(machine, kernel)
    if not len(pcm):
        raise EdgernnError(f"the recording is shorter than one step of {g.step_samples} samples; give a longer one")
    with tempfile.TemporaryDirectory(prefix="edgernn-program-") as scratch:
        folder = Path(scratch)
        export_c(g, folder, PREFIX, chosen)
        sources = [task_of(g).harness(), *(folder / name for name in c_sources(task_of(g), chosen)), HARNESS]
        program = build_static(sources, board, machine, folder / "test", [folder, BOARD_DRIVER], toolchain, optimize)
        write_wav(folder / "in.wav", pcm, g.sample_rate)
        done = run_emulated(program, ("in.wav", "out.bin"), folder)
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip()
            raise EdgernnError(
                f"{board.name} ({machine.name}): the test program ended with code {done.returncode} {told}".rstrip()
            )
        failed, steps, events, _, width = np.fromfile(folder / "out.bin.sum", "<u4").tolist()
        if failed:
            raise EdgernnError(f"{board.name} ({machine.name}): the program's self-test failed at output {failed - 1}")
        trace = parsed_trace(g, np.fromfile(folder / "out.bin", np.uint8).reshape(steps, width))
    return {
        "board": board.name, "machine": machine.name, "cpu": board.cpu, "graph": g.id, "toolchain": program.toolchain,
        "kernel": kernel_name(machine, kernel), "optimize": optimize, "emulator": " ".join(machine.emulator), "steps": steps,
        "events": events, "program_bytes": program.bytes, "entries": sum(a.size for _, a in trace.arrays()),
        "bits_differing": sum(make_runtime("numpy", g).run(pcm).differing(trace).values()),
    }  # fmt: skip
