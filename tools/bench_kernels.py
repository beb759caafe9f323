"""What the net's step costs on each core, plain and with the core's kernel: exact instructions, counted in an emulator.

    python tools/bench_kernels.py                   # writes docs/results/kernels.json, docs/kernels.svg, tables of kernels.md
    python tools/bench_kernels.py --only aarch64    # measures the cores with this in their name, and keeps the other rows

Random nets of the tests, input 40 bands, hidden 64, gcc -O2, 50 steps a count. What is counted is the recurrent layer:
products, gates and states, without front end, head and decision, divided by the layer's multiply-accumulates.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cores import Core, all_cores, cores_of
from denoisers import denoiser_of, quantized_denoiser
from kernel_page import written
from nets import net_of, quantized, random_net

from edgernn.artifacts import read_json, write_json
from edgernn.core.graph import NetGraph
from edgernn.core.primitives import SCHEMES
from edgernn.runs import find_recipe
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, c_sources, export_c
from firmware_export.golden import golden_signal
from firmware_export.kernels import PLAIN, find_kernel, kernels
from firmware_export.parts import HELPERS, by_part

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "kernels.json"
CELLS = ("gru", "lstm", "rnn_tanh")
UNITS, OTHER_UNITS = 64, (16, 128)
STEPS = 50
#: recipes whose whole step is split into its parts, with random weights, in int8x16
WHOLE = ("demo", "dn-small", "dn-standard")
CODE_OF = ("demo", "dn-small")  #: recipes whose code is weighed
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


def per_mac(cell: str, scheme: str, core: Core, kernel: str, units: int = UNITS) -> float:
    """Instructions a multiply-accumulate of a recurrent layer."""
    g = quantized(random_net(cell, units), scheme)
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


def first_cores(only: str = "") -> list[Core]:
    """The first core of each kernel that is no host's; only: those with this in their name."""
    found = [[core for core in cores_of(kernel) if not core.missing()] for kernel in kernels().values()]
    return [cores[0] for cores in found if cores and only in cores[0].name]


def of_recipes(names: Sequence[str], only: str, key: str, measured: Callable[..., Mapping[str, float]]) -> list[dict[str, Any]]:
    """What `measured` finds, as `key` of a row for each recipe, plain and with the kernel, on the first core of each kernel."""
    rows = []
    for core in first_cores(only):
        for name, kernel in itertools.product(names, (PLAIN, find_kernel("auto", core.cpu).name)):  # type: ignore[union-attr]
            with tempfile.TemporaryDirectory() as scratch:
                found = measured(whole_graph(name), core, kernel, Path(scratch))
            row = {"board": core.name, "core": core.shown, "recipe": name, "kernel": kernel}
            rows.append({**row, key: {part: round(n) for part, n in found.items()}})
            print(rows[-1], flush=True)
    return rows


def measure_whole(only: str = "") -> list[dict[str, Any]]:
    """Each recipe's step split into its parts."""
    return of_recipes(WHOLE, only, "parts", split)


def measure_units(only: str = "") -> list[dict[str, Any]]:
    """Layers of other sizes, on the first core of each kernel."""
    rows = []
    for core in first_cores(only):
        for cell, scheme, units in itertools.product(CELLS, SCHEMES, (*OTHER_UNITS, UNITS)):
            found = {name: round(per_mac(cell, scheme, core, name, units), 3) for name in (PLAIN, "auto")}
            rows.append({"board": core.name, "core": core.shown, "cell": cell, "scheme": scheme, "units": units, **found})
            print(rows[-1], flush=True)
    return rows


def function_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each function of what was built there."""
    (program,) = (path for path in (folder / "x.elf", folder / "x") if path.is_file())
    done = subprocess.run(["nm", "-S", str(program)], capture_output=True, encoding="utf-8", check=True)
    words = [line.split() for line in done.stdout.splitlines()]
    return {w[3]: int(w[1], 16) for w in words if len(w) == 4 and w[2] in "tT"}


def code_bytes(g: NetGraph, core: Core, kernel: str, folder: Path) -> dict[str, int]:
    """Bytes of the C functions of a firmware by the part of a step they belong to."""
    counted(g, core, kernel, folder, str)
    parts = by_part(function_sizes(folder), folder / "src")
    return {part: size for part, size in parts.items() if part != HELPERS}


def measure_code(only: str = "") -> list[dict[str, Any]]:
    """Bytes of code by part of two recipes, plain and with each kernel."""
    return of_recipes(CODE_OF, only, "bytes", code_bytes)


def main() -> int:
    parser = argparse.ArgumentParser(description="What the net's step costs on each core, plain and with its kernel.")
    parser.add_argument("--only", default="", help="measure cores with this in their name, and keep the other rows")
    only = parser.parse_args().only
    measured = {"rows": measure, "units": measure_units, "code": measure_code, "whole": measure_whole}
    found = {"date": datetime.date.today().isoformat(), **{key: f(only) for key, f in measured.items()}}
    if only:
        for key, rows in read_json(OUT).items():
            if key != "date":
                found[key] = [row for row in rows if only not in row["board"]] + found[key]
    write_json(OUT, found)
    written(found, PARTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
