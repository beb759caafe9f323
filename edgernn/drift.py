"""Float against integer over one stream without a reset: SNR of scores and states minute by minute, saturation, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.floatnet import FloatNet
from edgernn.core.graph import NetGraph
from edgernn.core.measure import snr_db
from edgernn.core.qmath import PREACT_SCALE
from edgernn.core.trace import Trace
from edgernn.runtimes import make_runtime

Int16 = NDArray[np.int16]
Floats = NDArray[np.float32]


def float_trace(net: FloatNet[Any], features: Floats) -> dict[str, Floats]:
    """Logits [S, scores] and carried states [S, R, C] over features [T, bands] from reset, by the names the graph uses."""
    rows: dict[str, list[Floats]] = {"logits": []}
    per_step, state = net.frames_per_step, net.zero_state(1)
    for i in range(0, len(features) - per_step + 1, per_step):
        logits, state, _ = net.step(features[None, i : i + per_step], state)
        rows["logits"].append(logits[0])
        for layer, values in state.items():
            for key, value in values.items():
                rows.setdefault(f"{layer}.{key}", []).append(value[0])
    return {name: np.stack(values) for name, values in rows.items()}


def drift(g: NetGraph, floats: Mapping[str, Floats], trace: Trace) -> dict[str, Any]:
    """Both models over the same stream from reset: `whole` and `minutes` (SNR in dB of logits and states), `saturated`."""
    per_minute = max(1, round(60 * g.steps_per_second))
    minutes = [
        {"minute": i // per_minute, **_snrs(g, floats, trace, slice(i, i + per_minute))}
        for i in range(0, len(trace.logits), per_minute)
    ]
    return {
        "seconds": round(len(trace.logits) / g.steps_per_second, 1), "steps": len(trace.logits),
        "whole": _snrs(g, floats, trace, slice(None)), "minutes": minutes, "saturated": saturation(g, trace.states),
    }  # fmt: skip


def _snrs(g: NetGraph, floats: Mapping[str, Floats], trace: Trace, part: slice) -> dict[str, float]:
    """SNR in dB of the logits and of each carried state."""
    out = {"logits": round(snr_db(floats["logits"][part], trace.logits[part] * PREACT_SCALE), 2)}
    for name, state in trace.states.items():
        out[name] = round(snr_db(floats[name][part], np.asarray(state)[part] * g.values[name].step), 2)
    return out


def saturation(g: NetGraph, states: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Share of each carried state's entries that sit at the end of their range."""
    out = {}
    for name, state in states.items():
        limit = g.values[name].largest - 1
        out[name] = round(float(np.mean((state >= limit) | (state <= -limit - 1))), 6)
    return out


def speed(net: FloatNet[Any], graph: NetGraph, pcm: Int16, features: Floats) -> dict[str, float]:
    """Microseconds a step on this host, float NumPy, integer NumPy and integer C, in one run; C from PCM.

    features: float ones [T, bands] of the beginning of PCM [n].
    """
    steps, per_step = len(pcm) // graph.step_samples, graph.frames_per_step
    c, definition = make_runtime("c", graph), make_runtime("numpy", graph)
    frames = definition.features(pcm[: len(features) * graph.frame_samples])
    timings = {
        "float_numpy_us": (lambda: net.run(features[None]), len(frames) // per_step),
        "integer_numpy_us": (lambda: definition.run_features(frames), len(frames) // per_step),
        "integer_c_us": (lambda: c.process(pcm), steps),
    }
    out = {name: best_of(3, call) / n * 1e6 for name, (call, n) in timings.items()}
    out["real_time_factor_c"] = graph.step_ms * 1e-3 / (out["integer_c_us"] * 1e-6)
    return {k: round(v, 2) for k, v in out.items()}


def best_of(times: int, call: Callable[[], Any]) -> float:
    """The least of the seconds that so many calls took."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return min(taken)
