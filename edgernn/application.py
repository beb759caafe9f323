"""A graph on a real board: an application built and weighed, the test firmware run through a debugger, whether it keeps up."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.artifacts import made_folder
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.firmware import COUNTED_STEPS, build_firmware, count_instructions, emulated_trace
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import Int16
from edgernn.tasks import task_of
from firmware_export.emit import c_sources, export_app
from firmware_export.golden import golden_signal
from firmware_export.kernels import PLAIN, find_kernel
from firmware_export.plan import make_plan, state_bytes
from targets import Board, Firmware, available_toolchains, find_toolchain, load_board, probe, usable_emulators
from targets.application import build_application, device_of
from targets.board import DEVICE_DIR
from targets.run_gdb import PREFIX

TIGHT = 0.7  #: share of the clock above which a core keeps up tightly: interrupts and the microphone want some too


@dataclass(frozen=True)
class Load:
    """How busy the core is: retired instructions a second of audio, counted on `counted_on`; share of the clock's cycles."""

    counted_on: str
    instructions_per_second: float
    cycles_percent: int
    share: float

    @property
    def verdict(self) -> str:
        """Whether the core keeps up: yes, tight, or no."""
        return "yes" if self.share <= TIGHT else "tight" if self.share <= 1 else "no"


def make_application(
    g: NetGraph,
    board: Board,
    out: Path,
    toolchain: str = "auto",
    optimize: str = "-O2",
    audio: Path | None = None,
    kernel: str = "auto",
) -> dict[str, Any]:
    """Build the application into `out`: ELF, BIN, HEX and, where the board takes it, UF2; its C beside them in `app/`.

    audio: a C file of the user's that defines `device_audio` (and `device_sound`). EdgernnError when the program does not fit,
    with by how much, or when a real board's core does not keep up; then nothing is left in `out`.
    """
    task, compiler, chosen = task_of(g), find_toolchain(board, toolchain), find_kernel(kernel, board.cpu)
    if audio:
        _check_audio(audio)
    with made_folder(out), tempfile.TemporaryDirectory(dir=out, prefix=".build-") as scratch:
        folder = Path(scratch)
        app = export_app(g, folder / "app", chosen)
        shutil.copyfile(DEVICE_DIR / "device.h", folder / "app" / "device.h")
        sources = [app, *(folder / "app" / name for name in c_sources(task, chosen)), *([audio] if audio else [])]
        elf = folder / f"{board.name}.elf"
        try:
            firmware, files = build_application(sources, board, elf, [folder / "app"], compiler, optimize)
        except EdgernnError as error:
            raise EdgernnError(f"{error}{_remedy(g) if 'does not fit' in str(error) else ''}") from None
        load = measure_load(g, board, optimize, kernel)
        if board.device and load and load.verdict == "no":  # an emulator has all the time there is
            raise EdgernnError(_too_slow(g, board, load))
        kept = [_moved(path, out) for path in files]
        shutil.rmtree(out / "app", ignore_errors=True)
        (folder / "app").replace(out / "app")
    return {
        "board": board.name, "board_file": board.digest, "cpu": board.cpu, "graph": g.id, "scheme": g.scheme,
        "toolchain": firmware.toolchain, "optimize": optimize,
        "flash_bytes": firmware.flash_bytes, "ram_bytes": firmware.ram_bytes,
        "state_bytes": state_bytes(g, make_plan(g, chosen), task.members(g)), "kernel": chosen.name if chosen else PLAIN,
        "flash_size": board.flash.size, "ram_size": board.ram.size, "weight_bytes": g.weight_bytes,
        "files": [str(path) for path in kept], "clock_hz": board.clock_hz, "console": device_of(board).console,
        "pin": device_of(board).pin, "microphone": device_of(board).microphone, "audio": str(audio) if audio else None,
        "keeps_up": load.verdict if load else "unknown", "load": asdict(load) if load else None,
    }  # fmt: skip


def _check_audio(path: Path) -> None:
    """Without it the board would start and never hear anything."""
    if path.suffix != ".c" or not path.is_file():
        raise EdgernnError(f"there is no C file {path}; give one that defines device_audio")
    if not re.search(r"\bdevice_audio\s*\(", path.read_text(encoding="utf-8", errors="replace")):
        raise EdgernnError(f"{path} does not define device_audio; it is what reads the microphone (docs/boards.md)")


def _moved(path: Path, folder: Path) -> Path:
    path.replace(folder / path.name)
    return folder / path.name


def run_on_device(
    g: NetGraph, firmware: Firmware, board: Board, pcm: Int16, server: str, optimize: str, kernel: str = "auto"
) -> dict[str, Any]:
    """The test firmware on the board behind a gdb server: bits compared, cycles read; instructions of its twin.

    server: HOST:PORT, or probe:NAME of the board's own (`targets.probe`), which is started and stopped here.
    pcm: int16 [n], whole steps of it are run. cycles_per_step is None where the core has no counter.
    """
    pcm = pcm[: len(pcm) // g.step_samples * g.step_samples]
    if not len(pcm):
        raise EdgernnError(f"the recording is shorter than one step of {g.step_samples} samples; give a longer one")
    way = server if server.startswith(probe.PREFIX) else PREFIX + server
    trace, total = emulated_trace(g, firmware, board, pcm, way)
    cycles, name = count_instructions(g, firmware, board, pcm[: COUNTED_STEPS * g.step_samples], way)
    load = measure_load(g, board, optimize, kernel)
    a_step = load.instructions_per_second / g.steps_per_second if load else None
    return {
        "board": board.name, "graph": g.id, "emulator": name, "steps": total[1], "events": total[2],
        "entries": sum(a.size for _, a in trace.arrays()),
        "bits_differing": sum(make_runtime("numpy", g).run(pcm).differing(trace).values()),
        "stack_bytes": total[3], "counted_steps": len(cycles), "cycles_per_step": float(np.mean(cycles)) if cycles else None,
        "instructions_per_step": a_step, "instructions_per_second": load.instructions_per_second if load else None,
    }  # fmt: skip


def measure_load(g: NetGraph, board: Board, optimize: str = "-O2", kernel: str = "auto") -> Load | None:
    """Instructions counted on the board itself where it is emulated, else on its twin; None where nothing here counts."""
    twin = board if board.device is None else load_board(board.device.twin)
    if not usable_emulators(twin, count=True) or not available_toolchains(twin):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        firmware, _ = build_firmware(g, twin, Path(scratch), "auto", optimize, kernel)
        sound = golden_signal(g.step_samples, COUNTED_STEPS)
        counts, emulator = count_instructions(g, firmware, twin, sound)
    a_second = float(np.mean(counts)) * g.steps_per_second
    percent = device_of(board).cycles_percent
    return Load(f"{twin.name}, {emulator}", a_second, percent, a_second * percent / 100 / board.clock_hz)


def _remedy(g: NetGraph) -> str:
    return (
        f" Its weights take {g.weight_bytes} bytes: fewer `units` in the recipe's [[layers]] make them fewer, "
        "fewer `frontend.bands` and a shorter `window` the RAM."
    )


def _too_slow(g: NetGraph, board: Board, load: Load) -> str:
    return (
        f"{board.name} does not keep up: {load.instructions_per_second / 1e6:.1f} million instructions a second of audio "
        f"(counted on {load.counted_on}), at {load.cycles_percent / 100:g} cycles each {100 * load.share:.0f} % of its "
        f"{board.clock_hz / 1e6:g} MHz; a greater `stride` in the recipe's first layer, fewer `units` or a longer `hop` help"
    )
