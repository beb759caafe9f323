"""What a call from Python costs beside the step it makes: microseconds a streaming step, all in one run.

    python tools/bench_steps.py            # writes docs/results/steps.json

The net is a random GRU-64 behind 40 bands: what a step costs does not depend on its numbers.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import quantized, random_net

import edgernn
from edgernn.artifacts import write_json
from edgernn.runtimes import make_runtime

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "steps.json"
STEPS, ROUNDS = 2000, 15


def main() -> int:
    graph = quantized(random_net("gru", 64), "int8x16")
    runtime = make_runtime("c", graph)
    stepper, stream = runtime.stepper, edgernn.Model(graph, "c").stream()
    pcm = np.random.default_rng(0).integers(-3000, 3000, graph.step_samples * STEPS).astype(np.int16)
    one, frame = pcm[: graph.step_samples].copy(), np.zeros((graph.frames_per_step, graph.bands), np.int16)

    def fill_and_step() -> None:
        stepper.pcm[:] = one
        stepper.step()

    calls: dict[str, Callable[[], object]] = {
        "Stepper.step": stepper.step, "Stepper.pcm[:] and step": fill_and_step,
        "CRuntime.process": lambda: runtime.process(one),
        "Stream.push": lambda: stream.push(one), "CRuntime.run_features, net only": lambda: runtime.run_features(frame),
    }  # fmt: skip
    best = {"C alone": float("inf"), **{name: float("inf") for name in calls}}
    for _ in range(ROUNDS):  # in turns, so that all meet the same noise of the machine
        begin = time.perf_counter()
        runtime.process(pcm)
        best["C alone"] = min(best["C alone"], (time.perf_counter() - begin) / STEPS)
        for name, call in calls.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                call()
            best[name] = min(best[name], (time.perf_counter() - begin) / STEPS)
    microseconds = {name: round(1e6 * seconds, 2) for name, seconds in best.items()}
    write_json(OUT, {"date": datetime.date.today().isoformat(), "microseconds": microseconds})
    print(microseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
