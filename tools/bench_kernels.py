"""What the net's step costs on each core, plain and with the core's kernel: exact instructions, counted in an emulator.

    python tools/bench_kernels.py            # writes docs/results/kernels.json and the table of docs/kernels.md

Random nets of the tests, input 40 bands, hidden 64, gcc -O2, 50 steps a count. The step is the recurrent layer and a head of
five outputs; what is counted is everything but the front end, divided by the multiply-accumulates of both.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import quantized, random_net

from edgernn.artifacts import write_json, write_text
from edgernn.core.graph import NetGraph
from edgernn.core.primitives import SCHEMES
from edgernn.firmware import count_instructions
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, c_sources, export_c
from firmware_export.golden import golden_signal
from firmware_export.kernels import PLAIN, find_kernel, kernels
from targets import Board, build, find_toolchain, list_boards, load_board, usable_emulators

ROOT = Path(__file__).resolve().parents[1]
OUT, PAGE = ROOT / "docs" / "results" / "kernels.json", ROOT / "docs" / "kernels.md"
CELLS = ("gru", "lstm", "rnn_tanh")
STEPS = 50
_CALL = "const int told = model_process(s, pcm, &event);"


def net_instructions(g: NetGraph, board: Board, kernel: str, folder: Path, optimize: str = "-O2") -> float:
    """Instructions of one step of the net: those of a step, less those of its features."""
    task, chosen = task_of(g), find_kernel(kernel, board.cpu)
    export_c(g, folder / "src", "model", chosen)
    harness, counts = task.harness().read_text(encoding="utf-8"), []
    assert _CALL in harness
    for calls in ("model_features(s, pcm);", "model_features(s, pcm); model_net_step(s);"):
        event = "const int told = 0; event.label = -1; event.score = 0; event.step = 0;"
        (folder / "harness.c").write_text(harness.replace(_CALL, f"{calls} {event}"), encoding="utf-8")
        sources = [folder / "harness.c", *(folder / "src" / name for name in c_sources(task, chosen))]
        firmware = build(
            sources, board, folder / "x.elf", include_dirs=[folder / "src", BOARD_DRIVER],
            toolchain=find_toolchain(board, "gcc"), optimize=optimize,
        )  # fmt: skip
        found, _ = count_instructions(g, firmware, board, golden_signal(g.step_samples, STEPS))
        counts.append(float(np.mean(found)))
    return counts[1] - counts[0]


def per_mac(cell: str, scheme: str, board: Board, kernel: str) -> float:
    """Instructions a multiply-accumulate of the tests' random net of 64 units."""
    g = quantized(random_net(cell, 64), scheme)
    with tempfile.TemporaryDirectory() as scratch:
        return net_instructions(g, board, kernel, Path(scratch)) / g.macs_per_step


def measure() -> list[dict[str, Any]]:
    rows = []
    served = {cpu for k in kernels().values() for cpu in k.cores}
    for board in map(load_board, list_boards()):
        if board.cpu not in served or not usable_emulators(board, count=True):
            continue
        for cell in CELLS:
            for scheme in SCHEMES:
                found = {name: round(per_mac(cell, scheme, board, name), 3) for name in (PLAIN, "auto")}
                rows.append({"board": board.name, "core": board.cpu, "cell": cell, "scheme": scheme, **found})
                print(rows[-1], flush=True)
    return rows


def table(found: dict[str, Any]) -> str:
    lines = ["| core | cell | scheme | plain C | with its kernel |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['core']} ({r['board']}) | {r['cell']} | {r['scheme']} | {r['plain']:.2f} | **{r['auto']:.2f}** |"
        for r in found["rows"]
    ]
    return f"Instructions a multiply-accumulate, {found['date']}, `python tools/bench_kernels.py`:\n\n" + "\n".join(lines)


def main() -> int:
    found = {"date": datetime.date.today().isoformat(), "rows": measure()}
    write_json(OUT, found)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("<!-- table -->\n")
    write_text(PAGE, f"{before}<!-- table -->\n{table(found)}\n<!-- end -->\n{rest.partition('<!-- end -->' + chr(10))[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
