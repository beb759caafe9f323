"""Build a denoiser for a board, run it in an emulator, and compare every sample and every state with the definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgernn.denoise.graph import DenoiseGraph
from edgernn.errors import EdgernnError
from edgernn.features import Int16
from edgernn.firmware import (
    EmulationReport,
    FirmwareReport,
    compile_harness,
    emulated_rows,
    emulation_report,
    parse_rows,
)
from edgernn.runtimes import Trace, make_denoiser, make_runtime
from firmware_export.emit_denoise import RUNTIME_SOURCES, export_denoiser_c
from targets import Board, Firmware


def build_denoiser(
    g: DenoiseGraph, board: Board, folder: Path, toolchain: str = "auto", optimize: str = "-O2"
) -> tuple[Firmware, FirmwareReport]:
    """Export the graph into `folder`/src and compile it with the test harness for the board."""
    export_denoiser_c(g, folder / "src")
    return compile_harness(g, board, folder, "dn_harness.c", RUNTIME_SOURCES, toolchain, optimize)


def run_denoiser(g: DenoiseGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto") -> EmulationReport:
    """Run PCM [n] through the emulated firmware, compare with NumPy bit by bit, and count instructions over 50 steps."""
    pcm = pcm[: len(pcm) // g.step_samples * g.step_samples]
    if not len(pcm):
        raise EdgernnError(f"the recording is shorter than one step of {g.step_samples} samples; give a longer one")
    out, trace, total = emulated_denoising(g, firmware, board, pcm, emulator)
    differing = sum(make_runtime("numpy", g).run(pcm).differing(trace).values())
    differing += int(np.count_nonzero(make_denoiser("numpy", g).denoise(pcm) != out))
    entries = len(out) + sum(a.size for _, a in trace.arrays())
    return emulation_report(g, firmware, board, pcm, emulator, total, entries, differing)


def emulated_denoising(
    g: DenoiseGraph, firmware: Firmware, board: Board, pcm: Int16, emulator: str = "auto"
) -> tuple[Int16, Trace, list[int]]:
    """Denoised PCM [n], everything else the firmware computed, and the harness's five totals."""
    raw, total = emulated_rows(g, firmware, board, pcm, emulator)
    samples = 2 * g.step_samples
    return np.ascontiguousarray(raw[:, :samples]).view("<i2").ravel(), parse_rows(g, raw[:, samples:]), total
