"""How well a spotter holds in a stream: thresholds that keep a rate of false accepts, and the misses that they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgernn.data.corpus import Dataset
from edgernn.notes import note
from edgernn.outcomes import Events, Heights, Marks, Outcome
from edgernn.runtimes import Runtime, fast_runtime, make_runtime
from edgernn.signal import native
from edgernn.signal.audio import Int16
from edgernn.tasks.spot.decision import Decision, detect
from edgernn.tasks.spot.det import LEAST, RATES, Evidence, choose
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.hearing import Material, heard, material
from edgernn.tasks.spot.recipe import SpotNet
from edgernn.tasks.spot.scoring import poisson_interval, share_interval, to_posteriors
from edgernn.tasks.spot.stock import PEOPLE, speaker

SMOOTHINGS_MS = (240.0, 320.0, 400.0, 480.0, 560.0)  #: what a net may be smoothed by; beyond, a command right after is lost
MOST_PEAKS = 100  #: an hour, of the scores without a keyword that outcomes keep


def tuned(net: SpotNet, graph: SpotGraph, dataset: Dataset) -> SpotGraph:
    """The graph of a net trained on streams with smoothing and thresholds chosen on the validation split, by its integers."""
    p = net.recipe.decision
    heard_of = material(dataset, "validation", net.recipe.streams.hours, graph.sample_rate, net.recipe.seed)
    if heard_of.hours * p.false_accepts_per_hour < 1:
        note(
            f"validation holds {heard_of.hours:.2g} hours without a keyword: thresholds are set above all heard in them, which "
            f"does not prove {p.false_accepts_per_hour:g} false accepts an hour; raise streams.hours"
        )
    said, quiet = integer_posteriors(make_runtime(fast_runtime(), graph), heard_of)
    lengths = sorted({net.recipe.steps(ms) for ms in SMOOTHINGS_MS})
    choice = choose({n: evidence(graph, heard_of, said, quiet, n) for n in lengths}, p.false_accepts_per_hour)
    decision = replace(graph.decision, smoothing=choice.smoothing, thresholds=choice.thresholds)
    return replace(graph, decision=decision)


def evidence(g: SpotGraph, m: Material, said: Int16, quiet: Sequence[Int16], smoothing: int) -> list[Evidence]:
    """What each keyword scored, from the posteriors of a material's stream and of its negatives."""
    keywords = g.labels[: len(g.decision.thresholds)]
    apart = max(1, g.decision.refractory)
    return heard(said, m.spans, quiet, keywords, smoothing, apart, g.steps_per_second, m.rate)


def integer_posteriors(runtime: Runtime[SpotGraph], m: Material) -> tuple[Int16, list[Int16]]:
    """Q15 posteriors of the keywords' stream, and of the negatives as one stream without a reset."""
    runtime.reset()
    said = runtime.run(m.said).posteriors
    runtime.reset()
    return said, [runtime.run(piece).posteriors for piece in m.negatives]


def float_posteriors(net: SpotNet, m: Material) -> tuple[Int16, list[Int16]]:
    """The same of the float net, each piece of negatives from reset: they are computed side by side."""

    def run(pcm: Int16) -> Int16:
        return to_posteriors(net.run(net.features(native.log_mels(pcm, net.recipe.frontend, net.tables))))

    return run(m.said[None])[0], list(run(np.stack(m.negatives))) if m.negatives else []


def spotting(
    net: SpotNet, runtime: Runtime[SpotGraph], dataset: Dataset, split: str, hours: float
) -> tuple[dict[str, Any], dict[str, Outcome]]:
    """What `edgernn simulate` tells first: each keyword's threshold, misses, false accepts and curve, float and integer.

    And what became of each word that was said and when int8 was wrong, item by item.
    """
    g, target = runtime.graph, net.recipe.decision.false_accepts_per_hour
    m = material(dataset, split, hours, g.sample_rate, net.recipe.seed)
    models = {"float": float_posteriors(net, m), "integer": integer_posteriors(runtime, m)}
    rows: dict[str, dict[str, Any]] = {
        word: {"threshold": round(t / 32768, 4)} for word, t in zip(g.labels, g.decision.thresholds, strict=False)
    }
    outcomes: dict[str, Outcome] = {}
    for name, (said, quiet) in models.items():
        false, found = _false_accepts(quiet, g.decision), evidence(g, m, said, quiet, g.decision.smoothing)
        for k, (word, e) in enumerate(zip(rows, found, strict=True)):
            rows[word][name] = _figures(e, g.decision.thresholds[k], len(false[k]), target)
        outcomes = _outcomes(g, m, found, false)  # those of the integers, which come last
    figures = {
        "split": split, "smoothing_ms": round(g.decision.smoothing * g.step_ms), "target_per_hour": target,
        "rates": list(RATES), "hours": round(m.hours, 3), "distinct_minutes": round(m.distinct, 1),
        "people": sum(speaker(r) == PEOPLE for r in dataset.clips(split) if r.label in dataset.keywords),
        "keywords": rows,
    }  # fmt: skip
    return figures, outcomes


def _false_accepts(quiet: Sequence[Int16], decision: Decision) -> list[list[int]]:
    """The steps of each keyword's events, as the decision stage counts them."""
    events = detect(np.concatenate(quiet), decision) if len(quiet) else []
    return [[event.step for event in events if event.label == k] for k in range(len(decision.thresholds))]


def _outcomes(g: SpotGraph, m: Material, found: Sequence[Evidence], false: Sequence[Sequence[int]]) -> dict[str, Outcome]:
    """Words that were missed, events where none was said, and the scores that tell of other thresholds.

    Scores are means in Q15, rounded down: they reach a threshold where their sums do.
    """
    words, thresholds = g.labels[: len(g.decision.thresholds)], g.decision.thresholds
    names = {word: [name for name, span in zip(m.names, m.spans, strict=True) if span[2] == word] for word in words}
    said = {
        word: dict(zip(names[word], (e.said // e.steps).tolist(), strict=True)) for word, e in zip(words, found, strict=True)
    }
    out: dict[str, Outcome] = {}
    if not any(said.values()):
        return out
    missed = {
        w: {name: f"{x / 32768:.3f}" for name, x in said[w].items() if x < t} for w, t in zip(words, thresholds, strict=True)
    }
    out["misses"] = Marks({word: len(heights) for word, heights in said.items()}, missed)
    if not m.hours:
        return out
    times = {word: [round(step * g.step_ms / 1000, 2) for step in steps] for word, steps in zip(words, false, strict=True)}
    out["false_accepts_per_hour"] = Events(m.hours, times)
    most = round(MOST_PEAKS * max(1.0, m.hours))
    peaks = {word: sorted((e.false_ // e.steps).tolist(), reverse=True)[:most] for word, e in zip(words, found, strict=True)}
    cut = [p[-1] for p, e in zip(peaks.values(), found, strict=True) if len(e.false_) > most]
    limits = dict(zip(words, thresholds, strict=True))
    out["misses_at_baselines_rate"] = Heights(m.hours, limits, said, peaks, max([LEAST, *cut]))
    return out


def _share_95(e: Evidence, misses: float) -> list[float]:
    """The interval of a share of the words that were said."""
    return [round(x, 5) for x in share_interval(round(misses * len(e.said)), len(e.said))]


def _figures(e: Evidence, threshold: int, false: int, target: float) -> dict[str, Any]:
    """Of one keyword and model."""
    interval = [round(x / e.hours, 3) for x in poisson_interval(false)] if e.hours else None
    curve = e.curve()
    return {
        "said": len(e.said), "misses": round(e.misses(threshold), 5), "misses_95": _share_95(e, e.misses(threshold)),
        "misses_at_target": round(e.curve([target])[0], 5),
        "false_accepts": false, "per_hour": round(false / e.hours, 3) if e.hours else None, "per_hour_95": interval,
        "curve": [round(x, 5) for x in curve], "curve_95": [_share_95(e, x) for x in curve],
    }  # fmt: skip
