"""How well a spotter holds in a stream: thresholds that keep a rate of false accepts, and the misses that they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgernn.data.corpus import Dataset
from edgernn.notes import note
from edgernn.runtimes import Runtime, fast_runtime, make_runtime
from edgernn.signal import native
from edgernn.signal.audio import Int16
from edgernn.tasks.spot.decision import Decision, detect
from edgernn.tasks.spot.det import RATES, Evidence, choose
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.hearing import Material, heard, material
from edgernn.tasks.spot.recipe import SpotNet
from edgernn.tasks.spot.scoring import poisson_interval, to_posteriors

SMOOTHINGS_MS = (240.0, 320.0, 400.0, 480.0, 560.0)  #: what a net may be smoothed by; beyond, a command right after is lost
ENGINE = ":"  #: a recording that an engine made is named `engine:voice:..`; a file is named by its path


def tuned(net: SpotNet, graph: SpotGraph, dataset: Dataset) -> SpotGraph:
    """The graph of a net trained on streams with smoothing and thresholds chosen on the validation split, by its integers."""
    p = net.recipe.decision
    heard_of = material(dataset, "validation", net.recipe.streams.hours, graph.sample_rate, net.recipe.seed)
    if heard_of.hours * p.false_accepts_per_hour < 1:
        note(
            f"validation holds {heard_of.hours:.2g} hours without a keyword: thresholds are set above all heard in them, which "
            f" does not prove {p.false_accepts_per_hour:g} false accepts an hour; raise streams.hours"
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


def spotting(net: SpotNet, runtime: Runtime[SpotGraph], dataset: Dataset, split: str, hours: float) -> dict[str, Any]:
    """What `edgernn simulate` tells first: each keyword's threshold, misses, false accepts and curve, float and integer."""
    g, target = runtime.graph, net.recipe.decision.false_accepts_per_hour
    m = material(dataset, split, hours, g.sample_rate, net.recipe.seed)
    models = {"float": float_posteriors(net, m), "integer": integer_posteriors(runtime, m)}
    rows: dict[str, dict[str, Any]] = {
        word: {"threshold": round(t / 32768, 4)} for word, t in zip(g.labels, g.decision.thresholds, strict=False)
    }
    for name, (said, quiet) in models.items():
        false = _false_accepts(quiet, g.decision)
        for k, (word, e) in enumerate(zip(rows, evidence(g, m, said, quiet, g.decision.smoothing), strict=True)):
            rows[word][name] = _figures(e, g.decision.thresholds[k], false[k], target)
    return {
        "split": split, "smoothing_ms": round(g.decision.smoothing * g.step_ms), "target_per_hour": target,
        "rates": list(RATES), "hours": round(m.hours, 3), "distinct_minutes": round(m.distinct, 1),
        "people": sum(ENGINE not in r.source for r in dataset.clips(split) if r.label in dataset.keywords),
        "keywords": rows,
    }  # fmt: skip


def _false_accepts(quiet: Sequence[Int16], decision: Decision) -> list[int]:
    """Events of each keyword, as the decision stage counts them."""
    events = detect(np.concatenate(quiet), decision) if len(quiet) else []
    return [sum(event.label == k for event in events) for k in range(len(decision.thresholds))]


def _figures(e: Evidence, threshold: int, false: int, target: float) -> dict[str, Any]:
    """Of one keyword and model."""
    interval = [round(x / e.hours, 3) for x in poisson_interval(false)] if e.hours else None
    return {
        "said": len(e.said), "misses": round(e.misses(threshold), 5), "misses_at_target": round(e.curve([target])[0], 5),
        "false_accepts": false, "per_hour": round(false / e.hours, 3) if e.hours else None, "per_hour_95": interval,
        "curve": [round(x, 5) for x in e.curve()],
    }  # fmt: skip
