"""The keyword-spotting report: trains every model of it, then runs the test recordings once and writes the figures.

    EDGERNN_DATA=... python tools/bench_kws.py train DIR     about two hours on two cores; resumes
    EDGERNN_DATA=... python tools/bench_kws.py measure DIR   writes docs/results/kws.json; tools/readme.py shows it

EDGERNN_DATA names a folder with kws/manifest.csv and denoise/manifest.csv, see the recipes sc12-*.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgernn import boards, pipeline, runs
from edgernn.artifacts import read_json, write_json
from edgernn.core.primitives import SCHEMES
from edgernn.data.augment import StreamConfig, make_stream
from edgernn.data.corpus import SPEECH, UNKNOWN, Dataset, Row
from edgernn.drift import speed
from edgernn.runtimes import Runtime, make_runtime
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.spot.clips import clip_pcm, label_indices, training_set
from edgernn.tasks.spot.judge import compare_clips, embedded_accuracy, float_features, integer_clip_logits, sweep_thresholds
from edgernn.tasks.spot.recipe import SpotRecipe
from edgernn.tasks.spot.scoring import StreamScore, poisson_interval, score_clips

OUT = Path(__file__).resolve().parent.parent / "docs" / "results" / "kws.json"
FALSE_ACCEPTS_PER_HOUR = 2.0
NEGATIVE_HOURS = 5.0
SMOOTHING_MS = (200.0, 480.0)
THRESHOLDS = [round(32768 * t / 100) for t in range(30, 100)]


@dataclass(frozen=True)
class Run:
    """One training: recipe, seed, and whether the teachers take part."""

    recipe: str
    seed: int
    taught: bool = False

    @property
    def name(self) -> str:
        return f"{self.recipe}-s{self.seed}"


STUDENTS = [Run(f"sc12-{size}", seed, True) for size in ("40k", "20k", "20k-lstm", "20k-rnn") for seed in range(3)]
OTHERS = [Run("sc12-20k-nobed", 0), Run("sc10-voices", 0), Run("sc10-voices-and-20", 0)]
TEACHERS = [Run("sc12-teacher", 0), Run("sc12-teacher", 1)]
NOBED, VOICES = OTHERS[0], OTHERS[1:]


def quiet(*_: object) -> None:
    """No progress."""


# Training ---------------------------------------------------------------------------


def train_all(root: Path) -> None:
    """Teachers, then the rest, two at a time; the runs of one dataset share it and its prepared features."""
    dataset = pipeline.prepare_data(recipe_of(TEACHERS[0]), root / TEACHERS[0].name, quiet)
    training_set(dataset, recipe_of(TEACHERS[0]), make_tables(recipe_of(TEACHERS[0]).frontend), quiet)
    for group in (TEACHERS, [*STUDENTS, *OTHERS]):
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(train_one, [root] * len(group), group))


def recipe_of(run: Run) -> SpotRecipe:
    return replace(runs.find_recipe(run.recipe), seed=run.seed)


def train_one(root: Path, run: Run) -> None:
    folder = root / run.name
    share_data(root, run, folder)
    pipeline.prepare_data(recipe_of(run), folder, quiet)
    if not (folder / "model.safetensors").exists():
        pipeline.train_model(folder, quiet, options={"teacher": [str(root / t.name) for t in TEACHERS] if run.taught else []})
    print(f"trained {run.name}", flush=True)


def share_data(root: Path, run: Run, folder: Path) -> None:
    """Runs of sc12 read one dataset: it does not depend on the seed, all its splits are given."""
    folder.mkdir(parents=True, exist_ok=True)
    if run != TEACHERS[0] and (run.taught or run in TEACHERS) and not (folder / "data").exists():
        (folder / "data").symlink_to((root / TEACHERS[0].name / "data").resolve())


# Measuring ---------------------------------------------------------------------------


def measure_all(root: Path) -> dict[str, Any]:
    """Everything the report shows."""
    dataset = Dataset.load(root / TEACHERS[0].name / "data")
    return {
        "date": datetime.date.today().isoformat(),
        "dataset": dataset.id,
        "clips": len(dataset.clips("test")),
        "runs": measure_students(root),
        "rare": {run.name: rare_words(root / run.name, dataset) for run in STUDENTS},
        "teachers": [clip_figures(root / run.name, dataset, quantized(root / run.name, "int8x16")) for run in TEACHERS],
        "nobed": nobed(root / NOBED.name, dataset),
        "voices": {run.recipe: voices(root / run.name, dataset) for run in VOICES},
        "boards": {r: board_figures(root / f"{r}-s0") for r in ("sc12-40k", "sc12-20k")},
    }


def measure_students(root: Path) -> list[dict[str, Any]]:
    """Every student, two at a time; what was measured stays in its run folder."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(measure_one, [root] * len(STUDENTS), STUDENTS))


def measure_one(root: Path, run: Run) -> dict[str, Any]:
    path = root / run.name / "report.json"
    if not path.is_file():
        dataset = Dataset.load(root / TEACHERS[0].name / "data", verify=False)
        splits = {split: Listening.of(dataset, split) for split in ("validation", "test")}
        write_json(path, measure(root / run.name, run, dataset, splits))
    return dict(read_json(path))


def quantized(folder: Path, scheme: str) -> Runtime:
    pipeline.quantize_model(folder, scheme)
    return make_runtime("c", load_graph(folder / f"graph-{scheme}.ern"))


def measure(folder: Path, run: Run, dataset: Dataset, splits: dict[str, Listening]) -> dict[str, Any]:
    print(f"measuring {run.name}", flush=True)
    result: dict[str, Any] = {"recipe": run.recipe, "seed": run.seed, "schemes": {}}
    for scheme in SCHEMES:
        runtime = quantized(folder, scheme)
        figures = clip_figures(folder, dataset, runtime)
        figures["embedded"] = round(embedded(runtime, dataset), 5)
        figures["spotting"] = spotting(runtime, splits)
        result["schemes"][scheme] = figures
    return result


def compared(folder: Path, dataset: Dataset, runtime: Runtime) -> dict[str, Any]:
    """Float and integer over the test clips."""
    return compare_clips(load_checkpoint(folder / "model.safetensors"), runtime, dataset, "test", quiet)[0]


def clip_figures(folder: Path, dataset: Dataset, runtime: Runtime) -> dict[str, Any]:
    """Clip accuracy, float and integer, silence, words never trained; sizes."""
    g, c = runtime.graph, compared(folder, dataset, runtime)
    return {
        "float": c["float"]["accuracy"], "integer": c["integer"]["accuracy"], "agreement": c["agreement"],
        "per_class": c["integer"]["per_class"], "silence": c["silence"], "never_trained": c["never_trained"],
        "weight_bytes": g.weight_bytes, "table_bytes": g.table_bytes, "macs_per_step": g.macs_per_step,
        "steps_per_second": g.steps_per_second,
    }  # fmt: skip


def embedded(runtime: Runtime, dataset: Dataset) -> float:
    """Accuracy over the test clips in one stream without a reset, with pauses of 0.3 to 1.5 s."""
    config = StreamConfig(run_on_probability=0.0, noise_snr_db=None)
    pcm, spans = make_stream(dataset.clips("test"), dataset, np.random.default_rng(5), None, config)
    return embedded_accuracy(runtime, pcm, spans, dataset.clip_samples).accuracy


@dataclass(frozen=True)
class Listening:
    """What a split's nets are listened to with: a stream that has keywords and its spans, and streams that have none."""

    positive: Any
    spans: list[Any]
    negatives: list[Any]

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Listening:
        """Half-hour streams of unknown words and running speech in noise, and one of every clip, all of the split."""
        rows = [r for r in (*dataset.clips(split), *dataset.speech(split)) if r.label in (UNKNOWN, SPEECH)]
        count, offset = round(2 * NEGATIVE_HOURS) + 1, 0 if split == "test" else 100
        negatives = [make_stream(rows, dataset, np.random.default_rng([6, offset + i]), 1800.0)[0] for i in range(count)]
        return cls(*make_stream(dataset.clips(split), dataset, np.random.default_rng(7 + offset)), negatives)

    def curve(self, runtime: Runtime, smoothing: int) -> list[dict[str, Any]]:
        """False rejects and false accepts at each threshold."""
        g = replace(runtime.graph, decision=replace(runtime.graph.decision, smoothing=smoothing))
        scores, parts = posteriors(runtime, self.positive), [posteriors(runtime, n) for n in self.negatives]
        positive = sweep_thresholds([scores], [self.spans], g, THRESHOLDS)
        negative = sweep_thresholds(parts, [[]] * len(parts), g, THRESHOLDS)
        return [point(t, p, n) for (t, p), (_, n) in zip(positive, negative, strict=True)]


def spotting(runtime: Runtime, splits: dict[str, Listening]) -> dict[str, Any]:
    """For each smoothing the lowest threshold that keeps false accepts within the goal on validation, and its test figures."""
    found = {}
    for milliseconds in SMOOTHING_MS:
        steps = max(1, round(milliseconds / 1000 * runtime.graph.steps_per_second))
        curves = {split: heard.curve(runtime, steps) for split, heard in splits.items()}
        at = chosen(curves["validation"])
        found[f"{milliseconds:.0f}"] = {
            "chosen": curves["test"][at], "validation": curves["validation"][at], "curve": curves["test"][::5],
        }  # fmt: skip
    return found


def chosen(curve: list[dict[str, Any]]) -> int:
    """The index of the lowest threshold within the goal; the highest of all where none is."""
    return next((i for i, c in enumerate(curve) if c["fa_per_hour"] <= FALSE_ACCEPTS_PER_HOUR), len(curve) - 1)


def posteriors(runtime: Runtime, pcm: Any) -> Any:
    runtime.reset()
    return runtime.run(pcm).posteriors


def point(threshold: int, positive: StreamScore, negative: StreamScore) -> dict[str, Any]:
    """One point of the curve: keywords from the stream that has some, false accepts from both."""
    both = positive + negative
    low, high = poisson_interval(both.false_accepts)
    return {
        "threshold": round(threshold / 32768, 3), "frr": round(positive.frr, 4), "keywords": positive.keywords,
        "false_accepts": both.false_accepts, "hours": round(both.hours, 2), "fa_per_hour": round(both.fa_per_hour, 2),
        "fa_per_hour_95": [round(low / both.hours, 2), round(high / both.hours, 2)],
    }  # fmt: skip


def rare_words(folder: Path, dataset: Dataset) -> dict[str, int]:
    """Test clips of words that have fewer than ten training clips, and how many of them are rejected."""
    runtime = quantized(folder, "int8x16")
    trained = Counter(row.word for row in dataset.clips("train"))
    rows = [row for row in dataset.clips("test") if trained[row.word] < 10]
    return {"clips": len(rows), "rejected": rejected(runtime, dataset, rows)}


def rejected(runtime: Runtime, dataset: Dataset, rows: list[Row]) -> int:
    """How many of the rows are taken for unknown or silence."""
    g = runtime.graph
    logits = integer_clip_logits(runtime, clip_pcm(dataset, rows, g.sample_rate))
    score = score_clips(logits, label_indices(dataset, rows), g.labels, g.decision.clip_steps)
    return int(np.sum(score.predicted >= len(g.decision.thresholds)))


def nobed(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """How many test clips of the word left out are taken for unknown or silence."""
    runtime = quantized(folder, "int8x16")
    rows = [row for row in dataset.clips("test") if row.word == "bed"]
    whole = compared(folder, dataset, runtime)
    return {
        "clips": len(rows), "rejected": rejected(runtime, dataset, rows),
        "accuracy": whole["integer"]["accuracy"], "float": whole["float"]["accuracy"],
    }  # fmt: skip


def voices(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """A net trained on synthetic voices, on the recordings."""
    c = compared(folder, dataset, quantized(folder, "int8x16"))
    keywords = np.array(c["integer"]["confusion"])[: len(dataset.keywords)]
    return {
        "float": c["float"]["accuracy"], "integer": c["integer"]["accuracy"], "clips": c["integer"]["clips"],
        "keyword_clips": int(keywords.sum()), "keyword_accuracy": round(float(np.trace(keywords) / keywords.sum()), 5),
        "per_class": c["integer"]["per_class"], "train_clips": len(Dataset.load(folder / "data").clips("train")),
    }  # fmt: skip


def board_figures(folder: Path) -> dict[str, Any]:
    """Cost on emulated cores, and speed on this host."""
    out: dict[str, Any] = {}
    for board in ("microbit", "mps2-an386", "riscv32-virt"):
        r = boards.run_board(folder, board, folder)
        keys = ("cpu", "toolchain", "flash_bytes", "ram_bytes", "stack_bytes", "instructions_per_second")
        out[board] = {key: r[key] for key in (*keys, "bits_differing", "steps")}
    dataset, g = runs.load_data(folder), load_graph(folder / "graph-int8x16.ern")
    pcm = clip_pcm(dataset, dataset.clips("test"), g.sample_rate).ravel()
    net = load_checkpoint(folder / "model.safetensors")
    out["host"] = speed(net, g, pcm, float_features(net, pcm[None, : 200 * g.step_samples])[0])
    return out


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("train", "measure") or "EDGERNN_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(sys.argv[2])
    if sys.argv[1] == "train":
        train_all(root)
        return 0
    write_json(OUT, measure_all(root))
    print(f"wrote {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
