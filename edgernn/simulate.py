"""The int8 model against the float model: clips, long streams, latency. What `edgernn simulate` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.clips import clip_pcm, label_indices, log_mels, silence_pcm
from edgernn.data.augment import StreamConfig, make_stream
from edgernn.data.corpus import Dataset
from edgernn.decision import Decision
from edgernn.features import Int16
from edgernn.floatnet import FloatNet
from edgernn.graph import Graph
from edgernn.qmath import PREACT_SCALE
from edgernn.runtimes import Runtime, make_runtime
from edgernn.scoring import (
    ClipScore,
    Span,
    StreamScore,
    score_clips,
    score_stream,
    snr_db,
    to_posteriors,
)

Progress = Callable[[str, int, int], None]


def integer_clip_logits(runtime: Runtime[Graph], pcm: Int16, progress: Progress = lambda *_: None) -> Int16:
    """Clips [N, samples], each from reset -> int16 logits [N, steps, labels]."""
    out = []
    for i, clip in enumerate(pcm):
        runtime.reset()
        out.append(runtime.run(clip).logits)
        progress("simulating", i + 1, len(pcm))
    return np.stack(out)


def float_clip_logits(net: FloatNet, pcm: Int16) -> NDArray[np.float32]:
    """Clips [N, samples], each from reset -> float logits [N, steps, labels]."""
    return net.run(net.features(log_mels(pcm, net.recipe, net.tables)))


def compare_clips(net: FloatNet, runtime: Runtime[Graph], dataset: Dataset, split: str, progress: Progress) -> dict[str, Any]:
    """Float and integer accuracy, agreement and logit SNR over the clips of a split; silence apart."""
    g = runtime.graph
    rows = dataset.clips(split)
    pcm, truth = clip_pcm(dataset, rows), label_indices(dataset, rows)
    f, q = float_clip_logits(net, pcm), integer_clip_logits(runtime, pcm, progress)
    scores = [score_clips(x, truth, g.labels, g.decision.clip_steps) for x in (f, q)]
    result = {
        "split": split,
        "labels": list(g.labels),
        "float": scores[0].to_dict(),
        "integer": scores[1].to_dict(),
        "agreement": round(float(np.mean(scores[0].predicted == scores[1].predicted)), 5),
        "logit_snr_db": round(snr_db(f, q * PREACT_SCALE), 2),
        "never_trained": _never_trained(dataset, split, scores[1]),
    }
    return {**result, "silence": _silence(net, runtime, dataset, split)}


def _never_trained(dataset: Dataset, split: str, score: ClipScore) -> dict[str, Any]:
    """Unknown words that the train split does not hold."""
    trained = {row.word for row in dataset.clips("train")}
    new = np.array([row.word not in trained for row in dataset.clips(split)])
    return {"clips": int(new.sum()), "correct": int(score.correct[new].sum())}


def _silence(net: FloatNet, runtime: Runtime[Graph], dataset: Dataset, split: str, count: int = 500) -> dict[str, Any]:
    """One-second cuts of the split's noise: how many are taken for a keyword."""
    if not dataset.noise(split):
        return {"cuts": 0}
    g = runtime.graph
    pcm = silence_pcm(dataset, split, count, np.random.default_rng(1))
    keywords, truth = len(g.decision.thresholds), np.zeros(count, np.int64)
    taken = {}
    for name, logits in (("float", float_clip_logits(net, pcm)), ("integer", integer_clip_logits(runtime, pcm))):
        predicted = score_clips(logits, truth, g.labels, g.decision.clip_steps).predicted
        taken[name] = int(np.sum(predicted < keywords))
    return {"cuts": count, "taken_for_keyword": taken}


def compare_stream(net: FloatNet, runtime: Runtime[Graph], dataset: Dataset, split: str, seconds: float) -> dict[str, Any]:
    """One stream without a reset: logit and state SNR minute by minute, saturation counters, streaming hits."""
    g = runtime.graph
    pcm, spans = make_stream(dataset.clips(split), dataset, np.random.default_rng(2), seconds, StreamConfig())
    runtime.reset()
    trace = runtime.run(pcm)
    floats = _float_trace(net, pcm, runtime)
    per_minute = max(1, round(60 * g.steps_per_second))
    minutes = [
        {"minute": i // per_minute, **_snrs(g, floats, trace, slice(i, i + per_minute))}
        for i in range(0, len(trace.logits), per_minute)
    ]
    hits = {
        name: score_stream(p, spans, g.labels, g.decision, g.step_samples, g.frontend.sample_rate)
        for name, p in (("float", to_posteriors(floats["logits"])), ("integer", trace.posteriors))
    }
    return {
        "seconds": round(len(trace.logits) / g.steps_per_second, 1),
        "steps": len(trace.logits),
        "whole": _snrs(g, floats, trace, slice(None)),
        "minutes": minutes,
        "saturated": saturation(g, trace.states),
        "streaming": {k: _stream_dict(v) for k, v in hits.items()},
    }


def _float_trace(net: FloatNet, pcm: Int16, runtime: Runtime[Graph]) -> dict[str, NDArray[np.float32]]:
    """Float logits [S, labels] and carried states [S, R, C] over one stream, by the names the graph uses."""
    features = net.features(log_mels(pcm[None], net.recipe, net.tables))
    rows: dict[str, list[NDArray[np.float32]]] = {"logits": []}
    per_step, state = runtime.graph.frames_per_step, net.zero_state(1)
    for i in range(0, features.shape[1] - per_step + 1, per_step):
        logits, state, _ = net.step(features[:, i : i + per_step], state)
        rows["logits"].append(logits[0])
        for layer, values in state.items():
            for key, value in values.items():
                rows.setdefault(f"{layer}.{key}", []).append(value[0])
    return {name: np.stack(values) for name, values in rows.items()}


def _snrs(g: Graph, floats: dict[str, NDArray[np.float32]], trace: Any, part: slice) -> dict[str, float]:
    """SNR in dB of the logits and of each carried state."""
    out = {"logits": round(snr_db(floats["logits"][part], trace.logits[part] * PREACT_SCALE), 2)}
    for name, state in trace.states.items():
        out[name] = round(snr_db(floats[name][part], state[part] * g.values[name].step), 2)
    return out


def saturation(g: Graph, states: Any) -> dict[str, float]:
    """Share of each carried state's entries that sit at the end of their range."""
    out = {}
    for name, state in states.items():
        limit = g.values[name].largest - 1
        out[name] = round(float(np.mean((state >= limit) | (state <= -limit - 1))), 6)
    return out


def _stream_dict(s: StreamScore) -> dict[str, Any]:
    low, high = s.poisson_interval()
    return {
        "keywords": s.keywords, "frr": round(s.frr, 4), "fa": s.false_accepts, "hours": round(s.hours, 3),
        "fa_per_hour": round(s.fa_per_hour, 3), "fa_per_hour_95": [round(low, 3), round(high, 3)],
    }  # fmt: skip


def embedded_accuracy(runtime: Runtime[Graph], pcm: Int16, spans: Sequence[Span], samples: int) -> ClipScore:
    """Clip accuracy of clips inside one stream that is never reset.

    Each span is scored as a clip that began at the span's first sample: the logits of the last clip steps within
    `samples` of it are summed, as for a clip from reset.
    """
    g = runtime.graph
    runtime.reset()
    logits = runtime.run(pcm).logits
    steps = samples // g.step_samples
    order = {label: i for i, label in enumerate(g.labels)}
    starts = [-(-begin // g.step_samples) for begin, _, _ in spans]
    cut = np.stack([logits[s : s + steps] for s in starts])
    return score_clips(cut, np.array([order[label] for _, _, label in spans]), g.labels, g.decision.clip_steps)


def sweep_thresholds(
    posteriors: Sequence[Int16], spans: Sequence[Sequence[Span]], g: Graph, thresholds: Sequence[int]
) -> list[tuple[int, StreamScore]]:
    """Stream score at each threshold (Q15) over several streams together."""
    out = []
    for t in thresholds:
        decision: Decision = replace(g.decision, thresholds=(t,) * len(g.decision.thresholds))
        parts = [
            score_stream(p, s, g.labels, decision, g.step_samples, g.frontend.sample_rate)
            for p, s in zip(posteriors, spans, strict=True)
        ]
        out.append((t, sum(parts[1:], parts[0])))
    return out


def speed(net: FloatNet, graph: Graph, pcm: Int16) -> dict[str, float]:
    """Microseconds a step on this host, float NumPy, integer NumPy and integer C, in one run; C from PCM."""
    steps = len(pcm) // graph.step_samples
    c, definition = make_runtime("c", graph), make_runtime("numpy", graph)
    short = pcm[: 200 * graph.step_samples]
    floats = net.features(log_mels(short[None], net.recipe, net.tables))
    frames = definition.features(short)
    timings = {
        "float_numpy_us": (lambda: net.run(floats), len(frames) // graph.frames_per_step),
        "integer_numpy_us": (lambda: definition.run_features(frames), len(frames) // graph.frames_per_step),
        "integer_c_us": (lambda: c.run(pcm), steps),
    }
    out = {name: _best_of_three(call) / n * 1e6 for name, (call, n) in timings.items()}
    out["real_time_factor_c"] = graph.step_samples / graph.frontend.sample_rate / (out["integer_c_us"] * 1e-6)
    return {k: round(v, 2) for k, v in out.items()}


def _best_of_three(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)
