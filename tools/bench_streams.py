"""Twelve classes in streams: nets that were trained to listen without end, with thresholds chosen on the validation split.

    EDGERNN_DATA=... python tools/bench_streams.py train DIR     about an hour on two cores; resumes
    EDGERNN_DATA=... python tools/bench_streams.py measure DIR   writes docs/results/streams.json; tools/readme.py shows it

Three trainings of the recipe sc12-streams, and one that these three teach. They are listened to with the streams of
bench_kws.py. Smoothing and thresholds, one a word, are those with the fewest misses in the streams of the validation split
that keep its false accepts within GOAL an hour, all words together; the test split is run once with them. What those of the
test split itself would give is told too: it flatters, and is the rule of the older table of nets that were trained on clips.
"""

from __future__ import annotations

import datetime
import itertools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_kws import Listening, posteriors, quantized, quiet

from edgernn import pipeline, runs
from edgernn.artifacts import write_json
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import Dataset
from edgernn.runtimes import Runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks.spot.decision import Decision
from edgernn.tasks.spot.det import Evidence
from edgernn.tasks.spot.hearing import heard
from edgernn.tasks.spot.scoring import poisson_interval, score_stream
from edgernn.tasks.spot.spotting import SMOOTHINGS_MS

OUT = Path(__file__).resolve().parent.parent / "docs" / "results" / "streams.json"
RECIPE, SEEDS, TAUGHT = "sc12-streams", (0, 1, 2), "taught"
GOAL = 2.0  #: false accepts an hour, all words together


def train_all(root: Path) -> None:
    """The seeds two at a time, on one dataset; then the one that they teach."""
    recipe, names = runs.find_recipe(RECIPE), [f"s{seed}" for seed in SEEDS]
    pipeline.prepare_data(recipe, root / names[0], quiet)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(train_one, [root] * len(SEEDS), names, SEEDS, [()] * len(SEEDS)))
    train_one(root, TAUGHT, 0, tuple(names))


def train_one(root: Path, name: str, seed: int, teachers: tuple[str, ...]) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("data", "cache"):
        if name != "s0" and not (folder / part).exists():
            (folder / part).symlink_to(Path("..") / "s0" / part)
    pipeline.prepare_data(replace(runs.find_recipe(RECIPE), seed=seed), folder, quiet)
    if not (folder / "model.safetensors").exists():
        pipeline.train_model(folder, quiet, options={"teacher": [str(root / t) for t in teachers]})
    print(f"trained {name}", flush=True)


def allotted(evidence: Sequence[Evidence], budget: int) -> tuple[int, ...] | None:
    """Thresholds (Q15) with the fewest words missed among those with at most `budget` false accepts, all words together.

    None where none keeps the budget.
    """
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}  # by the false accepts that are spent
    for e in evidence:
        lowest = {e.false_accepts(t): t for t in (e.threshold(allowed / e.hours) for allowed in range(budget, -1, -1))}
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for (spent, (missed, before)), (false, t) in itertools.product(best.items(), lowest.items()):
            way = (missed + e.misses(t) * len(e.said), (*before, t))
            if spent + false <= budget and way < longer.get(spent + false, (np.inf, ())):
                longer[spent + false] = way
        best = longer
    return min(best.values())[1] if best else None


def chosen(runtime: Runtime, listening: Listening, said: Int16, negative: Sequence[Int16]) -> Decision:
    """Smoothing and thresholds by the validation split's streams."""
    g, found = runtime.graph, []
    words = g.labels[: len(g.decision.thresholds)]
    hours = sum(map(len, negative)) / g.steps_per_second / 3600
    for milliseconds in SMOOTHINGS_MS:
        steps = max(1, round(milliseconds * g.steps_per_second / 1000))
        evidence = heard(said, listening.spans, negative, words, steps, g.decision.refractory, g.steps_per_second, SAMPLE_RATE)
        thresholds = allotted(evidence, int(GOAL * hours))
        if thresholds:
            missed = sum(e.misses(t) * len(e.said) for e, t in zip(evidence, thresholds, strict=True))
            found.append((missed, steps, thresholds))
    _, steps, thresholds = min(found)
    return replace(g.decision, smoothing=steps, thresholds=thresholds)


def judged(
    runtime: Runtime, decision: Decision, listening: Listening, said: Int16, negative: Sequence[Int16]
) -> dict[str, Any]:
    """Misses of the stream with keywords, false accepts of all streams."""
    g = runtime.graph
    streams = [(said, listening.spans), *((n, []) for n in negative)]
    parts = [score_stream(p, spans, g.labels, decision, g.step_samples, g.sample_rate) for p, spans in streams]
    whole = sum(parts[1:], parts[0])
    each = [round(x / whole.hours, 2) for x in (whole.false_accepts, *poisson_interval(whole.false_accepts))]
    return {"missed": round(whole.frr, 4), "keywords": whole.keywords, "false_accepts": whole.false_accepts,
            "hours": round(whole.hours, 2), "per_hour": each}  # fmt: skip


def measure(root: Path, name: str, splits: dict[str, Listening]) -> dict[str, Any]:
    """One run, both schemes: chosen on validation, reported on test."""
    print(f"measuring {name}", flush=True)
    found: dict[str, Any] = {"name": name, "schemes": {}}
    for scheme in SCHEMES:
        runtime = quantized(root / name, scheme)
        scores = {
            s: (posteriors(runtime, x.positive), [posteriors(runtime, n) for n in x.negatives]) for s, x in splits.items()
        }
        decision, own = (chosen(runtime, splits[split], *scores[split]) for split in ("validation", "test"))
        found["schemes"][scheme] = {
            "weight_bytes": runtime.graph.weight_bytes, "smoothing_ms": round(decision.smoothing * runtime.graph.step_ms),
            "thresholds": [round(t / 32768, 4) for t in decision.thresholds],
            **{split: judged(runtime, decision, splits[split], *scores[split]) for split in splits},
            "by_the_test_itself": judged(runtime, own, splits["test"], *scores["test"]),
        }  # fmt: skip
    return found


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("train", "measure") or "EDGERNN_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[2])
    if sys.argv[1] == "train":
        train_all(root)
        return 0
    dataset = Dataset.load(root / "s0" / "data", verify=False)
    splits = {split: Listening.of(dataset, split) for split in ("validation", "test")}
    trained = [n for n in (*(f"s{seed}" for seed in SEEDS), TAUGHT) if (root / n / "model.safetensors").is_file()]
    figures = [measure(root, name, splits) for name in trained]
    write_json(OUT, {"date": datetime.date.today().isoformat(), "goal_per_hour": GOAL, "runs": figures})
    print(f"wrote {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
