"""One streaming step of a GRU from Python on this PC: edgernn against the runtimes of others, called as their users call them.

    python tools/bench_host.py            # writes docs/results/host.json and the table of docs/kernels.md

Input 40, hidden 64, one thread, the minimum over rounds in which every runtime has its turn. A bare call makes one step on
what lies in its input already; the loop makes many steps over memory. The float nets have random weights; what a step costs
does not depend on them. A runtime that is not installed is left out, by name.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import quantized, random_net

from edgernn.artifacts import write_json, write_text
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.hostcc import host_core
from edgernn.runtimes import make_runtime
from edgernn.runtimes.c import CRuntime
from edgernn.runtimes.onnx import session

ROOT = Path(__file__).resolve().parents[1]
OUT, PAGE = ROOT / "docs" / "results" / "host.json", ROOT / "docs" / "kernels.md"
BANDS, UNITS, STEPS, ROUNDS = 40, 64, 400, 8
OWN, LOOP = "edgernn, a bare call", "edgernn, in a loop"
Call = Callable[[], object]


def own(g: NetGraph, frames: Any) -> Iterator[tuple[str, Call, int]]:
    """Name, call, and steps of the call, for what this project offers."""
    runtime = CRuntime(g)
    yield OWN, runtime.stepper.net_step, 1
    yield LOOP, lambda: runtime.run_features(frames), STEPS
    plain = CRuntime(g, kernel="plain")
    yield "edgernn, in a loop, plain C", lambda: plain.run_features(frames), STEPS


def exported(g: NetGraph, frames: Any) -> Iterator[tuple[str, Call, int]]:
    """Our integer graph in the runtimes it is exported to, states from call to call."""
    for name, title in (
        ("onnx", "ONNX Runtime, our integer graph"),
        ("litert", "LiteRT, our graph"),
        ("tflm", "TFLM, our graph"),
    ):
        try:
            runtime: Any = make_runtime(name, g)
        except EdgernnError as error:
            print(f"left out: {title} ({error})")
            continue
        state = runtime._state
        yield title, lambda runtime=runtime, state=state: runtime.step(frames[:1], state), 1


def onnx_float() -> Iterator[tuple[str, Call, int]]:
    """A GRU node of float32 in ONNX Runtime."""
    import onnx
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    shapes = {"w": (1, 3 * UNITS, BANDS), "r": (1, 3 * UNITS, UNITS), "b": (1, 6 * UNITS)}
    weights = [onnx.numpy_helper.from_array(rng.normal(0, 0.1, s).astype(np.float32), n) for n, s in shapes.items()]
    ports = {"x": [1, 1, BANDS], "h": [1, 1, UNITS], "y": [1, 1, UNITS]}
    x, h, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items())
    node = helper.make_node("GRU", ["x", "w", "r", "b", "", "h"], ["", "y"], hidden_size=UNITS, linear_before_reset=1)
    model = helper.make_model(helper.make_graph([node], "g", [x, h], [y], weights), ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])  # fmt: skip
    net = session(model.SerializeToString())
    feeds = {name: np.zeros(ports[name], np.float32) for name in ("x", "h")}

    def step() -> None:
        (feeds["h"],) = net.run(["y"], feeds)

    yield "ONNX Runtime, float GRU", step, 1


def torch_float() -> Iterator[tuple[str, Call, int]]:
    """torch's layer and its cell, without gradients, on one thread."""
    import torch

    torch.set_num_threads(1)
    layer, cell = torch.nn.GRU(BANDS, UNITS), torch.nn.GRUCell(BANDS, UNITS)
    x = torch.zeros(1, 1, BANDS)
    states = {"layer": torch.zeros(1, 1, UNITS), "cell": torch.zeros(1, UNITS)}

    def layer_step() -> None:
        with torch.inference_mode():
            _, states["layer"] = layer(x, states["layer"])

    def cell_step() -> None:
        with torch.inference_mode():
            states["cell"] = cell(x[0], states["cell"])

    yield "PyTorch, GRU", layer_step, 1
    yield "PyTorch, GRUCell", cell_step, 1


def calls(scheme: str) -> Iterator[tuple[str, Call, int]]:
    """Everything that is compared."""
    g = quantized(random_net("gru", UNITS, bands=BANDS), scheme)
    frames = np.random.default_rng(0).integers(-2000 if scheme == "int8x16" else -100, 100, (STEPS, BANDS)).astype(np.int16)
    yield from own(g, frames)
    yield from exported(g, frames)
    for others in (onnx_float, torch_float):
        try:
            yield from others()
        except ImportError as error:
            print(f"left out: {others.__name__} ({error})")


def microseconds(scheme: str) -> dict[str, float]:
    """The least time of one step by name; every round gives each its turn, so that all meet the same noise of the machine."""
    compared = list(calls(scheme))
    best = {name: float("inf") for name, _, _ in compared}
    for _ in range(ROUNDS):
        for name, call, steps in compared:
            for _ in range(max(60, STEPS // steps)):
                begin = time.perf_counter()
                call()
                best[name] = min(best[name], (time.perf_counter() - begin) / steps)
    return {name: round(1e6 * seconds, 2) for name, seconds in best.items()}


def ratios(found: dict[str, float]) -> tuple[float, float]:
    """How many times the bare call and the loop are faster than the fastest of the others."""
    others = min(us for name, us in found.items() if not name.startswith("edgernn"))
    return others / found[OWN], others / found[LOOP]


def table(found: dict[str, Any]) -> str:
    """What stands in the page."""
    schemes = found["microseconds"]
    lines = [f"| one step by | {' | '.join(schemes)} |", "|---|" + "---:|" * len(schemes)]
    for name in next(iter(schemes.values())):
        lines.append(f"| {name} | {' | '.join(f'{us[name]:.2f}' for us in schemes.values())} |")
    said = [
        "{}: a bare call is {:.0f} times as fast as the fastest of the others, a loop {:.0f} times.".format(scheme, *ratios(us))
        for scheme, us in schemes.items()
    ]
    return f"Microseconds, {found['date']}, {found['core']}, `python tools/bench_host.py`:\n\n" + "\n".join([*lines, "", *said])


def main() -> int:
    found = {"date": datetime.date.today().isoformat(), "core": host_core(),
             "microseconds": {scheme: microseconds(scheme) for scheme in ("int8x16", "int8")}}  # fmt: skip
    write_json(OUT, found)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- host -->\n")
    after = rest.partition("<!-- end of host -->\n")[2]
    write_text(PAGE, f"{before}<!-- host -->\n{table(found)}\n<!-- end of host -->\n{after}")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
