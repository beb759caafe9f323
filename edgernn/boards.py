"""The verbs over boards: an application built and flashed, firmware run on an emulated core or through a debugger.

Each takes a run folder or a graph file, and writes beside it (`runs.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json, write_json
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.runs import find_graph, load_data
from edgernn.tasks import load_graph, task_of
from edgernn.zoo import model_at


def board_facts(name: str) -> dict[str, Any]:
    """What a board is, and what can be done with it on this machine.

    ways: each kind of program ("build", "emulate", "probe", "flash") to pairs of what it is and how to get it, an empty text
    where it is there.
    """
    from targets import load_board
    from targets.here import ways

    b = load_board(name)
    device = {key: getattr(b.device, key) for key in ("console", "pin", "microphone", "twin")} if b.device else {}
    found = ways(b)
    return {
        "name": b.name, "cpu": b.cpu, "flash": b.flash.size, "ram": b.ram.size, "description": b.description,
        "toolchains": [x for x, missing in found["build"] if not missing],
        "emulators": [x for x, missing in found["emulate"] if not missing],
        "probes": [x for x, missing in found["probe"] if not missing],
        "flashers": [x for x, missing in found["flash"] if not missing],
        "clock_hz": b.clock_hz, "flash_origin": b.flash.origin, "flash_reads": b.flash_reads, "ram_origin": b.ram.origin,
        "stack_bytes": b.stack_bytes, **device, "ways": found,
    }  # fmt: skip


def linux_facts(name: str) -> dict[str, Any]:
    """`board_facts` of a Linux board: it has no memory map, and `edgernn deploy` takes the place of flashing."""
    from targets.linux_board import available, load_linux_board

    b = load_linux_board(name)
    compilers, emulators = available(b)
    return {
        "name": b.name, "cpu": b.cpu, "flash": None, "ram": None, "description": b.description,
        "toolchains": compilers, "emulators": emulators, "probes": [], "flashers": [], "ways": {},
    }  # fmt: skip


def build_board(
    where: Path, board_name: str, out: Path, toolchain: str = "auto", optimize: str = "-O2", scheme: str | None = None,
    audio: Path | None = None, kernel: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Build the graph's application for a board; audio: the user's C file that reads the microphone."""
    from edgernn.application import make_application
    from targets import load_board

    graph, board = load_graph(find_graph(where, scheme)), load_board(board_name)
    result = make_application(graph, board, out / board.name, toolchain, optimize, audio, kernel)
    write_json(out / f"build-{board.name}.json", result)
    return result


def flash_board(
    where: Path, board_name: str, out: Path, drive: Path | None = None, serial: str = "", scheme: str | None = None,
    dry: bool = False, seconds: float = 30.0,
) -> dict[str, Any]:  # fmt: skip
    """Write what `build_board` built to the board, and ask its self-test over a serial port. dry: only say how."""
    from targets import flash, load_board

    graph, board = load_graph(find_graph(where, scheme)), load_board(board_name)
    folder = out / board.name
    result = {"board": board.name, "graph": graph.id, "console": board.device.console if board.device else ""}
    if dry:
        return {**result, "ways": [str(way) for way in flash.all_ways(board, folder)], "written": "", "self_test": ""}
    way = flash.find_ways(board, folder, drive)[0]
    built = read_json(out / f"build-{board.name}.json")
    if not isinstance(built, dict) or (built.get("graph"), built.get("board_file")) != (graph.id, board.digest):
        raise EdgernnError(f"{folder} is of another graph or board file; run `edgernn build` for {board.name} again")
    flash.write(way)
    answer = flash.self_test_answer(serial, graph.id, seconds) if serial else ""
    return {**result, "ways": [], "written": str(way), "self_test": answer}


def run_board(
    where: Path, board_name: str, out: Path, wav: Path | None = None, toolchain: str = "auto", emulator: str = "auto",
    optimize: str = "-O2", scheme: str | None = None, gdb: str = "", probe: str = "", kernel: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Build, run, compare every bit with the definition and count instructions.

    On an emulated core; or, with gdb = HOST:PORT of a gdb server or probe = the name of the board's own, on the board itself,
    whose cycles are counted too.
    """
    from edgernn.application import run_on_device
    from edgernn.firmware import build_firmware, run_firmware
    from edgernn.signal.audio import read_audio
    from targets import load_board
    from targets.probe import PREFIX, choose

    graph, board = load_graph(find_graph(where, scheme)), load_board(board_name)
    if gdb and probe:
        raise EdgernnError("--gdb reaches a server that runs, --probe starts one: give one of them")
    if probe:
        choose(board, probe)  # what is not installed is said before anything is built
    server = gdb or (PREFIX + probe if probe else "")
    pcm = read_audio(wav, graph.sample_rate) if wav else sound_to_run(where, graph)
    firmware, built = build_firmware(graph, board, out / board.name / "test", toolchain, optimize, kernel)
    if server:
        result = {**built.to_dict(), **run_on_device(graph, firmware, board, pcm, server, optimize, kernel)}
    else:
        result = {**built.to_dict(), **run_firmware(graph, firmware, board, pcm, emulator).to_dict()}
    write_json(out / f"run-{board.name}.json", result)
    return result


def sound_to_run(where: Path, graph: NetGraph) -> Any:
    """Test sound of the run folder's data; for a lone graph file or a model the self-test's signal."""
    from firmware_export.golden import golden_signal

    if where.is_dir() and not model_at(where):
        return task_of(graph).sound(graph, load_data(where))
    return golden_signal(graph.step_samples, 250)
