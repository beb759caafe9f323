"""The int8 model against the float model: clips, long streams, latency. What `edgernn simulate` prints of a keyword spotter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.measure import snr_db
from edgernn.core.qmath import PREACT_SCALE, sigmoid
from edgernn.data.augment import StreamConfig
from edgernn.data.corpus import Dataset
from edgernn.drift import drift, float_trace, speed
from edgernn.errors import EdgernnError
from edgernn.outcomes import Marks, Outcome, outcome_dict, unique
from edgernn.runtimes import Runtime, fast_runtime, make_runtime
from edgernn.signal import native
from edgernn.signal.log_mel import Int16
from edgernn.tasks.base import Material, Question, Traces
from edgernn.tasks.spot.clips import clip_pcm, label_indices, silence_pcm, stream_pcm
from edgernn.tasks.spot.decision import Decision, detect
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotNet
from edgernn.tasks.spot.scoring import ClipScore, Span, StreamScore, score_clips, score_heard, score_stream, to_posteriors
from edgernn.tasks.spot.spotting import spotting

Progress = Callable[[str, int, int], None]
AFTER_S = 0.6  #: of silence after a clip, in which a word at its end is said
NEGATIVES = 6  #: seconds without a keyword for each second of the stream that was asked for


def judge(net: SpotNet, graph: SpotGraph, dataset: Dataset, q: Question, progress: Progress) -> dict[str, Any]:
    """Misses and false accepts in streams, clips of a split, one long stream without a reset, and speed."""
    _check_split(dataset, q.split)
    runtime = make_runtime(fast_runtime() if q.runtime == "auto" else q.runtime, graph)
    found, heard = spotting(net, runtime, dataset, q.split, q.seconds * NEGATIVES / 3600)
    clips, judged = compare_clips(net, runtime, dataset, q.split, progress)
    result = {
        "runtime": runtime.name, "spotting": found, "clips": clips,
        "stream": compare_stream(net, runtime, dataset, q.split, q.seconds),
        "outcomes": {name: outcome_dict(outcome) for name, outcome in {**judged, **heard}.items()},
    }  # fmt: skip
    if fast_runtime() == "c":
        pcm = clip_pcm(dataset, dataset.clips(q.split)[:60], graph.sample_rate).ravel()
        features = float_features(net, pcm[None, : 200 * graph.step_samples])[0]
        result["speed"] = speed(net, graph, pcm, features)
    return result


def material(net: SpotNet, graph: SpotGraph, dataset: Dataset, split: str, seconds: float) -> Material:
    """The clips of a split and one stream of them; of each runtime its clip accuracy and how its events differ."""
    _check_split(dataset, split)
    rows = dataset.clips(split)
    truth = label_indices(dataset, rows)
    stream = stream_pcm(dataset, rows, np.random.default_rng(2), seconds, graph.sample_rate, StreamConfig())[0]

    def extras(own: Traces, definition: Traces) -> dict[str, Any]:
        logits = np.stack([t.logits for t in own[0]])
        events = [set(detect(stream.posteriors, graph.decision)) for _, stream in (own, definition)]
        score = clip_score(net, graph, logits, truth)
        return {"accuracy": round(score.accuracy, 5), "clips": len(truth), "events_differing": len(events[0] ^ events[1])}

    return Material(stream, split, list(judged_clips(net, clip_pcm(dataset, rows, graph.sample_rate))), extras)


def _check_split(dataset: Dataset, split: str) -> None:
    if not dataset.clips(split):
        raise EdgernnError(f"the {split} split of {dataset.path} has no clips to judge on; prepare data that has some")


def integer_clip_logits(runtime: Runtime[SpotGraph], pcm: Int16, progress: Progress = lambda *_: None) -> Int16:
    """Clips [N, samples], each from reset -> int16 logits [N, steps, labels]."""
    out = []
    for i, clip in enumerate(pcm):
        runtime.reset()
        out.append(runtime.run(clip).logits)
        progress("simulating", i + 1, len(pcm))
    return np.stack(out)


def float_clip_logits(net: SpotNet, pcm: Int16) -> NDArray[np.float32]:
    """Clips [N, samples], each from reset -> float logits [N, steps, labels]."""
    return net.run(float_features(net, pcm))


def float_features(net: SpotNet, pcm: Int16) -> NDArray[np.float32]:
    """Normalised float features [N, T, bands] of clips [N, samples], each from reset."""
    return net.features(native.log_mels(pcm, net.recipe.frontend, net.tables))


def compare_clips(
    net: SpotNet, runtime: Runtime[SpotGraph], dataset: Dataset, split: str, progress: Progress
) -> tuple[dict[str, Any], dict[str, Outcome]]:
    """Float and integer accuracy, agreement and logit SNR over the clips of a split; silence apart. And clip by clip."""
    g = runtime.graph
    rows = dataset.clips(split)
    pcm, truth = judged_clips(net, clip_pcm(dataset, rows, g.sample_rate)), label_indices(dataset, rows)
    f, q = float_clip_logits(net, pcm), integer_clip_logits(runtime, pcm, progress)
    scores = [clip_score(net, g, x, truth) for x in (f, q)]
    result = {
        "split": split,
        "labels": list(g.labels),
        "float": scores[0].to_dict(),
        "integer": scores[1].to_dict(),
        "agreement": round(float(np.mean(scores[0].predicted == scores[1].predicted)), 5),
        "logit_snr_db": round(snr_db(f, q * PREACT_SCALE), 2),
        "never_trained": _never_trained(dataset, split, scores[1]),
    }
    silence, cuts = _silence(net, runtime, dataset, split)
    return {**result, "silence": silence}, {**_clip_outcomes(unique(row.source for row in rows), *scores), **cuts}


def _clip_outcomes(names: Sequence[str], of_float: ClipScore, of_integer: ClipScore) -> dict[str, Outcome]:
    """Which clips were wrong, by their label, and which the two models hear otherwise."""
    labels = of_float.labels
    count = {label: int(n) for label, n in zip(labels, np.bincount(of_float.truth, minlength=len(labels)), strict=True) if n}

    def marks(wrong: NDArray[np.bool_], text: Callable[[int], str]) -> Marks:
        failed: dict[str, dict[str, str]] = {label: {} for label in count}
        for i in np.flatnonzero(wrong).tolist():
            failed[labels[of_float.truth[i]]][names[i]] = text(i)
        return Marks(count, failed)

    f, q = of_float.predicted, of_integer.predicted
    return {
        "float_accuracy": marks(~of_float.correct, lambda i: labels[f[i]]),
        "int8_accuracy": marks(~of_integer.correct, lambda i: labels[q[i]]),
        "agreement": marks(f != q, lambda i: f"float {labels[f[i]]}, int8 {labels[q[i]]}"),
    }


def judged_clips(net: SpotNet, pcm: Int16) -> Int16:
    """Clips [N, samples] as a net is given them: one trained on streams says a word after its end, so silence follows."""
    rest = round(AFTER_S * net.recipe.frontend.sample_rate) if net.recipe.train.kind == "streams" else 0
    return np.pad(pcm, ((0, 0), (0, rest)))


def clip_score(net: SpotNet, g: SpotGraph, logits: NDArray[Any], truth: NDArray[np.int64]) -> ClipScore:
    """By the clip rule, or of a net trained on streams by what its decision stage says; float or int16 logits."""
    if net.recipe.train.kind != "streams":
        return score_clips(logits, truth, g.labels, g.decision.clip_steps)
    integer = np.issubdtype(logits.dtype, np.integer)
    posteriors = sigmoid(logits.astype(np.int64)).astype(np.int16) if integer else to_posteriors(logits)
    return score_heard(posteriors, truth, g.labels, g.decision)


def _never_trained(dataset: Dataset, split: str, score: ClipScore) -> dict[str, Any]:
    """Unknown words that the train split does not hold."""
    trained = {row.word for row in dataset.clips("train")}
    new = np.array([row.word not in trained for row in dataset.clips(split)])
    return {"clips": int(new.sum()), "correct": int(score.correct[new].sum())}


def _silence(
    net: SpotNet, runtime: Runtime[SpotGraph], dataset: Dataset, split: str, count: int = 500
) -> tuple[dict[str, Any], dict[str, Outcome]]:
    """One-second cuts of the split's noise: how many are taken for a keyword, and which ones int8 takes for it."""
    if not dataset.noise(split):
        return {"cuts": 0}, {}
    g = runtime.graph
    pcm = judged_clips(net, silence_pcm(dataset, split, count, np.random.default_rng(1), g.sample_rate))
    keywords, truth = len(g.decision.thresholds), np.zeros(count, np.int64)
    models: dict[str, NDArray[Any]] = {"float": float_clip_logits(net, pcm), "integer": integer_clip_logits(runtime, pcm)}
    predicted = {name: clip_score(net, g, logits, truth).predicted for name, logits in models.items()}
    taken = {f"cut {i}": g.labels[k] for i, k in enumerate(predicted["integer"].tolist()) if k < keywords}
    counts = {name: int(np.sum(found < keywords)) for name, found in predicted.items()}
    return {"cuts": count, "taken_for_keyword": counts}, {"silence_taken": Marks({"cuts": count}, {"cuts": taken})}


def compare_stream(net: SpotNet, runtime: Runtime[SpotGraph], dataset: Dataset, split: str, seconds: float) -> dict[str, Any]:
    """One stream without a reset: drift of the integers from the floats, saturation, streaming hits of both."""
    g = runtime.graph
    rows, rng = dataset.clips(split), np.random.default_rng(2)
    pcm, spans = stream_pcm(dataset, rows, rng, seconds, g.sample_rate, StreamConfig())
    runtime.reset()
    trace = runtime.run(pcm)
    floats = float_trace(net, float_features(net, pcm[None])[0])
    hits = {
        name: score_stream(p, spans, g.labels, g.decision, g.step_samples, g.sample_rate)
        for name, p in (("float", to_posteriors(floats["logits"])), ("integer", trace.posteriors))
    }
    return {**drift(g, floats, trace), "streaming": {k: _stream_dict(v) for k, v in hits.items()}}


def _stream_dict(s: StreamScore) -> dict[str, Any]:
    low, high = s.poisson_interval()
    return {
        "keywords": s.keywords, "frr": round(s.frr, 4), "fa": s.false_accepts, "hours": round(s.hours, 3),
        "fa_per_hour": round(s.fa_per_hour, 3),
        "fa_per_hour_95": [round(low, 3), round(high, 3) if math.isfinite(high) else None],
    }  # fmt: skip


def embedded_accuracy(runtime: Runtime[SpotGraph], pcm: Int16, spans: Sequence[Span], samples: int) -> ClipScore:
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
    posteriors: Sequence[Int16], spans: Sequence[Sequence[Span]], g: SpotGraph, thresholds: Sequence[int]
) -> list[tuple[int, StreamScore]]:
    """Stream score at each threshold (Q15) over several streams together."""
    out = []
    for t in thresholds:
        decision: Decision = replace(g.decision, thresholds=(t,) * len(g.decision.thresholds))
        parts = [
            score_stream(p, s, g.labels, decision, g.step_samples, g.sample_rate)
            for p, s in zip(posteriors, spans, strict=True)
        ]
        out.append((t, sum(parts[1:], parts[0])))
    return out
