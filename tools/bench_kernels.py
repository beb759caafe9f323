"""What the net's step costs on each core, plain and with the core's kernel: exact instructions, counted in an emulator.

    python tools/bench_kernels.py                   # writes docs/results/kernels.json and the table of docs/kernels.md
    python tools/bench_kernels.py --only aarch64    # measures the cores with this in their name, and keeps the other rows

Random nets of the tests, input 40 bands, hidden 64, gcc -O2, 50 steps a count. What is counted is the recurrent layer:
products, gates and states, without front end, head and decision, divided by the layer's multiply-accumulates.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cores import Core, all_cores, cores_of
from denoisers import denoiser_of, quantized_denoiser
from nets import net_of, quantized, random_net

from edgernn.artifacts import read_json, write_json, write_text
from edgernn.core.graph import NetGraph
from edgernn.core.primitives import SCHEMES
from edgernn.runs import find_recipe
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, c_sources, export_c
from firmware_export.golden import golden_signal
from firmware_export.kernels import PLAIN, find_kernel, kernels

ROOT = Path(__file__).resolve().parents[1]
OUT, PAGE = ROOT / "docs" / "results" / "kernels.json", ROOT / "docs" / "kernels.md"
CELLS = ("gru", "lstm", "rnn_tanh")
STEPS = 50
#: recipes whose whole step is split into its parts, with random weights, in int8x16
WHOLE = ("demo", "dn-small", "dn-standard")
PARTS = ("front end", "products", "between products", "rest")
_PRODUCT = re.compile(r" *ern_\w*(matvec|widen|depthwise|row_conv)")
_FUNCTION = r"(?m)(^void model_%s\([^)]*\)\n\{\n)((?:.*\n)*?)(\}\n)"


def counted(g: NetGraph, core: Core, kernel: str, folder: Path, change: Callable[[str], str], optimize: str = "-O2") -> float:
    """Instructions of one step, mean over 50, with the generated header changed by `change`."""
    task, chosen = task_of(g), find_kernel(kernel, core.cpu)
    export_c(g, folder / "src", "model", chosen)
    header = folder / "src" / "model.h"
    header.write_text(change(header.read_text(encoding="utf-8")), encoding="utf-8")
    sources = [task.harness(), *(folder / "src" / name for name in c_sources(task, chosen))]
    built = core.build(sources, folder, [folder / "src", BOARD_DRIVER], optimize)
    return float(np.mean(core.counts(g, built, golden_signal(g.step_samples, STEPS))))


def emptied(function: str, unused: str) -> Callable[[str], str]:
    """The change that leaves nothing of a function's body."""

    def change(header: str) -> str:
        text, n = re.subn(_FUNCTION % function, rf"\1    {unused}\n\3", header)
        assert n == 1, function
        return text

    return change


def only_layer(header: str) -> str:
    """The change that leaves out of the net's step its head, and what follows."""

    def kept(found: re.Match[str]) -> str:
        lines = found[2].splitlines(True)
        head = next(i for i, line in enumerate(lines) if _PRODUCT.match(line) and "(s->logits," in line)
        return found[1] + "".join(lines[:head]) + found[3]

    text, n = re.subn(_FUNCTION % "net_step", kept, header)
    assert n == 1
    return text


def only_products(header: str) -> str:
    """The change that leaves of the net's step its matrix products alone."""

    def kept(found: re.Match[str]) -> str:
        return found[1] + "".join(x for x in found[2].splitlines(True) if _PRODUCT.match(x)) + found[3]

    text, n = re.subn(_FUNCTION % "net_step", kept, header)
    assert n == 1
    return text


def layer_instructions(g: NetGraph, core: Core, kernel: str, folder: Path, optimize: str = "-O2") -> float:
    """Instructions of one step of the layers before the head: those of a step without it, less those of one without the net."""
    deaf = counted(g, core, kernel, folder, emptied("net_step", "(void)s;"), optimize)
    return counted(g, core, kernel, folder, only_layer, optimize) - deaf


def split(g: NetGraph, core: Core, kernel: str, folder: Path) -> dict[str, float]:
    """Instructions of one step by PARTS; the rest is what follows the net: a decision, or the way back to sound."""
    whole, deaf, still, bare = (
        counted(g, core, kernel, folder, change)
        for change in (str, emptied("features", "(void)s; (void)pcm;"), emptied("net_step", "(void)s;"), only_products)
    )
    parts = (whole - deaf, bare - still, whole - bare, deaf - (whole - still))
    return dict(zip(PARTS, parts, strict=True))


def whole_graph(name: str) -> NetGraph:
    """The recipe's net with random weights."""
    recipe: Any = find_recipe(name)
    if recipe.task == "denoise":
        return quantized_denoiser(denoiser_of(recipe), "int8x16")
    return quantized(net_of(recipe), "int8x16")


def per_mac(cell: str, scheme: str, core: Core, kernel: str) -> float:
    """Instructions a multiply-accumulate of a recurrent layer of 64 units."""
    g = quantized(random_net(cell, 64), scheme)
    with tempfile.TemporaryDirectory() as scratch:
        return layer_instructions(g, core, kernel, Path(scratch)) / (g.macs_per_step - g.constants["logits.weight"].size)


def measure(only: str = "") -> list[dict[str, Any]]:
    """Each cell and scheme on every core of a kernel, plain and fast; only: those with this in their name."""
    rows = []
    served = {cpu for k in kernels().values() for cpu in k.cores}
    for core in all_cores():
        if core.cpu not in served or core.missing() or only not in core.name:
            continue
        for cell in CELLS:
            for scheme in SCHEMES:
                found = {name: round(per_mac(cell, scheme, core, name), 3) for name in (PLAIN, "auto")}
                rows.append({"board": core.name, "core": core.shown, "cell": cell, "scheme": scheme, **found})
                print(rows[-1], flush=True)
    return rows


def measure_whole(only: str = "") -> list[dict[str, Any]]:
    """Each recipe's step split into its parts, on the first core of each kernel; only: if this is in its name."""
    rows = []
    for kernel in kernels().values():
        cores = [core for core in cores_of(kernel) if not core.missing()]
        if not cores or only not in cores[0].name:  # none: a host's
            continue
        core = cores[0]
        for name in WHOLE:
            for chosen in (PLAIN, kernel.name):
                with tempfile.TemporaryDirectory() as scratch:
                    parts = split(whole_graph(name), core, chosen, Path(scratch))
                row = {"board": core.name, "core": core.shown, "recipe": name, "kernel": chosen}
                rows.append({**row, "parts": {part: round(n) for part, n in parts.items()}})
                print(rows[-1], flush=True)
    return rows


def table(found: dict[str, Any]) -> str:
    """What stands in the page."""
    lines = ["| core | cell | scheme | plain C | with its kernel |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['core']} ({r['board']}) | {r['cell']} | {r['scheme']} | {r['plain']:.2f} | **{r['auto']:.2f}** |"
        for r in found["rows"]
    ]
    whole = [f"| core | recipe | kernel | {' | '.join(PARTS)} | whole step |", "|---|---|---|" + "---|" * (len(PARTS) + 1)]
    for r in found["whole"]:
        numbers = [f"{r['parts'][part]:,}" for part in PARTS]
        whole.append(
            f"| {r['core']} | {r['recipe']} | {r['kernel']} | {' | '.join(numbers)} | **{sum(r['parts'].values()):,}** |"
        )
    said = f"Instructions a multiply-accumulate, {found['date']}, `python tools/bench_kernels.py`:\n\n" + "\n".join(lines)
    return f"{said}\n\n{_WHOLE_SAYS}\n\n" + "\n".join(whole)


_WHOLE_SAYS = """\
Instructions of whole steps, from samples to the event or to sound: `demo` takes two frames of 320 samples a step, the
denoisers one of 256. Between products are gates, activations, states and copies; the rest is the decision, or the way back to
sound. Random weights, int8x16:"""


def main() -> int:
    parser = argparse.ArgumentParser(description="What the net's step costs on each core, plain and with its kernel.")
    parser.add_argument("--only", default="", help="measure cores with this in their name, and keep the other rows")
    only = parser.parse_args().only
    found = {"date": datetime.date.today().isoformat(), "rows": measure(only), "whole": measure_whole(only)}
    if only:
        for key, rows in read_json(OUT).items():
            if key != "date":
                found[key] = [row for row in rows if only not in row["board"]] + found[key]
    write_json(OUT, found)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("<!-- table -->\n")
    write_text(PAGE, f"{before}<!-- table -->\n{table(found)}\n<!-- end -->\n{rest.partition('<!-- end -->' + chr(10))[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
