"""Every task's small net in both schemes on every emulated board: bits differing, sizes, instructions.

python tools/bench_boards.py            run all and write docs/results/boards.json; then tools/readme.py fills docs/boards.md
python tools/bench_boards.py --times    how long a graph file takes to a UF2, and how large the spotter's code is
"""

from __future__ import annotations

import datetime
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from denoisers import quantized_denoiser, random_denoiser  # noqa: E402  tests/ is no package
from nets import quantized, random_net  # noqa: E402
from test_vad import random_graph  # noqa: E402

from edgernn.core.graph import NetGraph  # noqa: E402
from edgernn.core.primitives import SCHEMES  # noqa: E402
from edgernn.firmware import build_firmware, run_firmware  # noqa: E402
from edgernn.tasks import task_of  # noqa: E402
from firmware_export.emit import export_app  # noqa: E402
from firmware_export.golden import golden_signal  # noqa: E402
from targets import build, find_toolchain, list_boards, load_board, usable_emulators  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "boards.json"
STEPS = 30
#: a net of random weights of each task: what a task's arithmetic does, not how well it hears
NETS: dict[str, Callable[[str], NetGraph]] = {
    "spot": lambda scheme: quantized(random_net("gru", 16), scheme),
    "denoise": lambda scheme: quantized_denoiser(random_denoiser(), scheme),
    "vad": random_graph,
}


def emulated_boards() -> list[str]:
    """The boards that an emulator of any machine runs."""
    return [name for name in list_boards() if load_board(name).qemu or load_board(name).unicorn]


@functools.cache
def net(task: str, scheme: str) -> NetGraph:
    """A task's net, made once for all boards."""
    return NETS[task](scheme)


def measured(task: str, scheme: str, name: str) -> list[dict[str, Any]]:
    """A row for each emulator that runs the board here."""
    g, board = net(task, scheme), load_board(name)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        firmware, report = build_firmware(g, board, Path(folder))
        for emulator in usable_emulators(board, count=True):
            done = run_firmware(g, firmware, board, golden_signal(g.step_samples, STEPS), emulator)
            rows.append(report.to_dict() | done.to_dict() | {"task": task})
    return rows


def main() -> int:
    if "--times" in sys.argv:
        return times()
    rows = []
    for name in emulated_boards():
        for task in NETS:
            for scheme in SCHEMES:
                rows += measured(task, scheme, name)
                print(name, task, scheme, [r["bits_differing"] for r in rows[-2:]], flush=True)
    kept = ("board", "cpu", "task", "scheme", "emulator", "toolchain", "optimize", "steps", "entries", "bits_differing",
            "flash_bytes", "ram_bytes", "state_bytes", "stack_bytes", "instructions_per_step")  # fmt: skip
    found = {"date": str(datetime.date.today()), "rows": [{key: r[key] for key in kept} for r in rows]}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(r["bits_differing"] for r in rows))


def runtime_code(folder: Path) -> int:
    """Bytes of machine code of front end, net and decision for a Cortex-M4 at -Os: .text of what the step needs, no constants.

    The self-test and what nothing calls are left out, as a linker leaves them out.
    """
    g, board = quantized(random_net("gru", 32, "conv"), "int8x16"), load_board("mps2-an386")
    source = export_app(g, folder / "app").parent
    (folder / "main.c").write_text(
        '#define KWS_IMPLEMENTATION\n#include "kws.h"\nkws_state s;\nint16_t pcm[KWS_HOP];\n'
        "int main(void)\n{\n    kws_event e;\n    kws_reset(&s);\n    return kws_process(&s, pcm, &e);\n}\n",
        encoding="utf-8",
    )
    sources = [folder / "main.c", *(source / name for name in task_of(g).c.sources)]
    compiler = find_toolchain(board, "gcc")
    whole = build(sources, board, folder / "whole.elf", include_dirs=[source], toolchain=compiler, optimize="-Os")
    (folder / "none.c").write_text("int main(void)\n{\n    return 0;\n}\n", encoding="utf-8")
    none = build([folder / "none.c"], board, folder / "none.elf", toolchain=compiler, optimize="-Os")
    return sum((s.size if f is whole else -s.size) for f in (whole, none) for s in f.sections if s.name == ".text")


def times() -> int:
    """From a graph file to a UF2, as a user would call it: a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.ern"
        NETS["spot"]("int8x16").save(graph)
        begin = time.monotonic()
        subprocess.run([sys.executable, "-m", "edgernn", "build", str(graph), "--board", "pico"], cwd=ROOT, check=True)
        print(f"{time.monotonic() - begin:.1f} s from the graph file to pico.uf2")
        print(f"{runtime_code(Path(folder))} bytes of code for a spotter, M4 -Os, without weights and tables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
