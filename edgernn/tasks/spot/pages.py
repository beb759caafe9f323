"""A keyword spotter's sections of `edgernn report`: misses against false accepts, confusion, drift, mistakes to listen to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.qmath import PREACT_SCALE, sigmoid
from edgernn.data.corpus import Dataset, Row
from edgernn.reports import charts
from edgernn.reports.charts import Axis, Line
from edgernn.reports.facts import Facts, Values
from edgernn.reports.parts import Part, Picture, Section, Sound
from edgernn.reports.sections import drift_picture
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.show import Table
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.tasks.spot.clips import clip_pcm, fitted, label_indices
from edgernn.tasks.spot.det import smoothed
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.judge import clip_score, integer_clip_logits, judged_clips
from edgernn.tasks.spot.recipe import SpotNet
from edgernn.tasks.spot.show import simulated

SHOWN = 8  #: mistakes that are listened to
LEAST_RATE = 0.01  #: false accepts an hour at the left end of curves: none is drawn there


def sections(run: Facts) -> Iterator[Section]:
    """All of them."""
    assert run.simulated is not None
    s = run.simulated
    items: list[Part] = list(simulated(s))
    if "spotting" in s:
        yield Section("Misses against false accepts", [*curves(s["spotting"]), *items[:2]])
        items = [x for x in items[2:] if isinstance(x, Table)]
    yield Section("Clips, float against int8", [confusion(s["clips"]), *items[:2]])
    yield Section("One stream without a reset", [*drift_picture(s["stream"]), *items[2:]])
    yield mistakes(run)


def curves(s: Values) -> list[Picture]:
    """A DET curve a keyword, of float and int8; a dot where the chosen threshold lies."""
    out = []
    for word, row in s["keywords"].items():
        series = {
            name: Line(
                s["rates"],
                [100 * x for x in row[key]["curve"]],
                _chosen(row[key]),
                f"{name}, its threshold",
                colour=i,
                dash=1 - i,
            )
            for i, (name, key) in enumerate((("float", "float"), ("int8", "integer")))
        }
        x = row["integer"]
        per_hour = "an unknown number of" if x["per_hour"] is None else f"{x['per_hour']:g}"
        about = (
            f"{word}: at its threshold of {row['threshold']:.3f} the int8 model misses {100 * x['misses']:.1f} % at {per_hour} "
            f"false accepts an hour; at {s['target_per_hour']:g} an hour it would miss {100 * x['misses_at_target']:.1f} %"
        )
        axes = Axis("false accepts an hour", log=True), Axis("missed, %", ends=(-3, 103))
        out.append(charts.lines(f"{word}: threshold {row['threshold']:.3f}", about, series, *axes))
    return out


def _chosen(x: Values) -> tuple[float, float] | None:
    if x["per_hour"] is None:
        return None
    return max(x["per_hour"], LEAST_RATE), 100 * x["misses"]


def confusion(clips: Values) -> Picture:
    """What was said against what the integers heard."""
    counts = np.array(clips["integer"]["confusion"], np.int64)
    wrong = counts - np.diag(np.diag(counts))
    about = f"{int(np.trace(counts))} of {int(counts.sum())} clips are heard as what was said"
    if wrong.any():
        i, j = np.unravel_index(int(wrong.argmax()), wrong.shape)
        about += f"; most often {clips['labels'][i]} is taken for {clips['labels'][j]}, {int(wrong.max())} times"
    return charts.matrix("What int8 heard", about, clips["labels"], counts)


def mistakes(run: Facts) -> Section:
    """The clips that the integers are most sure of and wrong, to listen to."""
    section = Section("The worst mistakes")
    dataset, net = run.dataset(), run.checkpoint()
    if dataset is None or net is None:
        section.parts.append("The recordings or the float net are gone from the run folder: there is nothing to listen to.")
        return section
    assert run.simulated is not None
    split = run.simulated["clips"]["split"]
    rows = dataset.clips(split)
    found = _worst(run, net, dataset, rows)
    if not found:
        section.parts.append(f"None: all {len(rows)} clips of the {split} split are heard as what was said.")
        return section
    table = [
        [x["said"], row.word, x["heard"], f"{x['margin']:.2f}", row.speaker or "unknown", _sound(dataset, row)]
        for row, x in found
    ]
    columns = ["said", "word", "heard", "margin", "speaker", "listen"]
    section.parts.append(Table(f"{len(found)} of the {split} split", columns, table))
    return section


def _sound(dataset: Dataset, row: Row) -> Sound:
    return Sound(row.source, fitted(dataset.pcm(row), dataset.clip_samples), SAMPLE_RATE)


def _worst(run: Facts, net: SpotNet, dataset: Dataset, rows: list[Row]) -> list[tuple[Row, dict[str, Any]]]:
    """Wrong clips, the surest first: margin is that of what was heard over what was said, see `_scores`."""
    g: Any = run.graph
    pcm = judged_clips(net, clip_pcm(dataset, rows, g.sample_rate))
    logits, truth = integer_clip_logits(make_runtime(fast_runtime(), g), pcm), label_indices(dataset, rows)
    heard = clip_score(net, g, logits, truth).predicted
    scores = _scores(net, g, logits)
    wrong = np.flatnonzero(heard != truth)
    margins = scores[wrong, heard[wrong]] - scores[wrong, truth[wrong]]
    count = min(SHOWN, int(run.sound_seconds * SAMPLE_RATE / dataset.clip_samples))
    return [
        (rows[i], {"said": g.labels[truth[i]], "heard": g.labels[heard[i]], "margin": float(m)})
        for i, m in sorted(zip(wrong.tolist(), margins.tolist(), strict=True), key=lambda x: -x[1])[:count]
    ]


def _scores(net: SpotNet, g: SpotGraph, logits: NDArray[np.int16]) -> NDArray[np.float64]:
    """What each clip was judged by, [N, labels] of int16 logits [N, steps, labels]: the mean logits of its last steps.

    Of a net trained on streams: how far a keyword's mean posterior rose over its threshold; 0 for what is no keyword.
    """
    if net.recipe.train.kind != "streams":
        return np.asarray(logits[:, -g.decision.clip_steps :].astype(np.float64).mean(1) * PREACT_SCALE)
    posteriors, d = sigmoid(logits.astype(np.int64)).astype(np.int16), g.decision
    sums = np.stack([smoothed(p[:, : len(d.thresholds)], d.smoothing).max(0) for p in posteriors])
    out = np.zeros((len(logits), len(g.labels)))
    out[:, : len(d.thresholds)] = (sums / d.smoothing - np.array(d.thresholds)) / 32768
    return out
