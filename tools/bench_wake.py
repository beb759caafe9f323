"""The wake-word report: real people who say alexa, computer, jarvis; hours of speech and noise in which nobody does.

    EDGERNN_DATA=... python tools/bench_wake.py RUN NAME "WHAT IT WAS TRAINED ON"

measures the graph of a run folder on the test recordings and adds its figures to docs/results/wake.json, which is also the list
of looks at the test; RUN/wake.json then has what a card tells of it (`tools/zoo.py make --figures`). EDGERNN_DATA names a
folder with wake/, commands/ and denoise/, each with its manifest.csv.

    EDGERNN_DATA=... python tools/bench_wake.py --validation RUN NAME "WHAT IT WAS TRAINED ON"

does the same with the words of the train split, of people that RUN must not have heard, and readers and noise of the validation
split: to choose by, and to tell of a recipe without a look at the test. Such figures are kept apart.

Rules, fixed before the first look. Said: 150 test clips a word, in one stream with gaps of a second, clean, and in test
noise 10 dB below the word; a detection from the clip's start to 0.5 s after its end counts. Not said: the test parts of
denoise/clean, commands and denoise/noise as one stream without a reset, once as they are, then the speech in test noise 5 to
20 dB below, again and again. In running speech: the clips without the silence around them, in the speech of test readers 10
dB below, who pause for the word alone. Thresholds come with the graph, from validation. Curves: the highest mean posterior
of a word's time against the peaks of the rest.
"""

from __future__ import annotations

import csv
import datetime
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.artifacts import read_json, write_json
from edgernn.data.augment import active_power, cut
from edgernn.runs import find_graph
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16, read_audio, to_float, to_int16
from edgernn.tasks import load_graph
from edgernn.tasks.spot.compose import sounding
from edgernn.tasks.spot.decision import detect
from edgernn.tasks.spot.det import Evidence
from edgernn.tasks.spot.hearing import Material, heard
from edgernn.tasks.spot.scoring import poisson_interval

OUT = Path(__file__).resolve().parent.parent / "docs" / "results" / "wake.json"
SNR_DB = 10.0
Spans = list[tuple[int, int, str]]


@dataclass(frozen=True)
class Recordings:
    """Which ones are heard: the split of the words and that of all else, and how often speech is heard in noise."""

    words: str = "test"
    others: str = "test"
    passes: int = 6

    def listed(self, part: str, wanted: Callable[[dict[str, str]], bool] = lambda row: True) -> Iterator[tuple[str, Int16]]:
        """(label, PCM) of rows of the manifest of a part of EDGERNN_DATA."""
        folder = Path(os.environ["EDGERNN_DATA"]) / part
        split = self.words if part == "wake" else self.others
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["split"] == split and wanted(row):
                    yield row["label"], read_audio(folder / row["path"])

    def clips(self) -> list[tuple[str, Int16]]:
        return list(self.listed("wake"))

    def readers(self) -> list[Int16]:
        return [x for _, x in self.listed("denoise", lambda r: r["kind"] == "clean")]

    def noise(self) -> list[Int16]:
        return [x for _, x in self.listed("denoise", lambda r: r["kind"] == "noise")]

    def quiet_hours(self, rng: np.random.Generator) -> tuple[list[Int16], float]:
        """Streams without the words, and the minutes of recordings they are made of."""
        talk, noise = [*self.readers(), *(x for _, x in self.listed("commands"))], self.noise()
        streams = [*talk, *noise]
        for _ in range(self.passes):
            streams += [noisy(talk[i], noise, rng.uniform(5, 20), rng) for i in rng.permutation(len(talk))]
        return streams, sum(map(len, [*talk, *noise])) / SAMPLE_RATE / 60

    def streams(self) -> tuple[dict[str, tuple[Int16, Spans]], list[Int16], float]:
        """(streams of the words by name, streams without them, minutes of recordings in those), always the same."""
        rng = np.random.default_rng(2026)
        clips, noise = self.clips(), self.noise()
        streams = {"clean": said(clips, lambda x: x), "noise 10 dB": said(clips, lambda x: noisy(x, noise, SNR_DB, rng)),
                   "in speech": in_speech(clips, self.readers(), rng)}  # fmt: skip
        return streams, *self.quiet_hours(rng)


TEST = Recordings()
VALIDATION = Recordings("train", "validation", 40)


def noisy(pcm: Int16, noise: list[Int16], snr: float, rng: np.random.Generator) -> Int16:
    x, other = to_float(pcm), cut(noise, len(pcm), rng)
    gain = np.sqrt(active_power(x) / max(active_power(other), 1e-12) / 10 ** (snr / 10))
    return to_int16(x + other * np.float32(gain))


def said(clips: list[tuple[str, Int16]], change: Callable[[Int16], Int16]) -> tuple[Int16, Spans]:
    """All clips, a second apart."""
    gap, parts, spans, at = SAMPLE_RATE, [], [], SAMPLE_RATE
    parts.append(np.zeros(gap, np.int16))
    for label, pcm in clips:
        parts += [change(pcm), np.zeros(gap, np.int16)]
        spans.append((at, at + len(pcm), label))
        at += len(pcm) + gap
    return np.concatenate(parts), spans


def in_speech(clips: list[tuple[str, Int16]], talk: list[Int16], rng: np.random.Generator) -> tuple[Int16, Spans]:
    """The words in running speech 10 dB below them, which stops for the word alone: two seconds of it before, two after."""
    parts, spans, at, around = [], [], 0, 2 * SAMPLE_RATE
    for label, pcm in clips:
        begin, end = sounding(to_float(pcm))
        word = to_float(pcm[begin:end])
        sides = []
        for _ in range(2):
            x = cut([t for t in talk if len(t) >= around], around, rng)
            sides.append(x * np.float32(np.sqrt(active_power(word) / 10 / max(active_power(x), 1e-12))))
        parts.append(to_int16(np.concatenate([sides[0], word, sides[1]])))
        spans.append((at + around, at + around + len(word), label))
        at += len(parts[-1])
    return np.concatenate(parts), spans


def measure(folder: Path, recordings: Recordings) -> dict[str, Any]:
    """Everything about one run."""
    graph = load_graph(find_graph(folder))
    streams, quiet, minutes = recordings.streams()
    runtime = make_runtime(fast_runtime(), graph)
    negative = [runtime.run(x).posteriors for x in quiet]
    hours = sum(map(len, negative)) / graph.steps_per_second / 3600
    events = detect(np.concatenate(negative), graph.decision)
    result: dict[str, Any] = {
        "graph": graph.id, "weight_bytes": graph.weight_bytes, "macs_per_step": graph.macs_per_step,
        "smoothing_ms": graph.decision.smoothing * graph.step_ms, "hours": round(hours, 2),
        "distinct_minutes": round(minutes, 1),
        "thresholds": {w: round(t / 32768, 4) for w, t in zip(graph.labels, graph.decision.thresholds, strict=False)},
        "false_accepts": {graph.labels[k]: sum(e.label == k for e in events) for k in range(len(graph.decision.thresholds))},
        "per_hour_all_words": [round(x / hours, 2) for x in (len(events), *poisson_interval(len(events)))],
    }  # fmt: skip
    return {**result, **{name: missed_in(runtime, stream, negative) for name, stream in streams.items()}}


def missed_in(runtime: Any, stream: tuple[Int16, Spans], negative: list[Int16]) -> dict[str, Any]:
    """The misses of a stream of words, heard from reset, against the posteriors of those without."""
    pcm, spans = stream
    runtime.reset()
    m = Material(SAMPLE_RATE, pcm, spans, [str(i) for i in range(len(spans))], [], 0)
    return misses(runtime.graph, runtime.run(pcm).posteriors, m, negative)


def misses(graph: Any, positive: Int16, m: Material, negative: list[Int16]) -> dict[str, Any]:
    """Each word's misses at its threshold and at 0.5, 1 and 10 false accepts an hour of the test itself."""
    d, words = graph.decision, graph.labels[: len(graph.decision.thresholds)]
    found: list[Evidence] = heard(
        positive, m.spans, [np.concatenate(negative)], words, d.smoothing, d.refractory, graph.steps_per_second, m.rate
    )
    rows = {}
    for word, e, t in zip(words, found, d.thresholds, strict=True):
        at = {f"at {rate:g} an hour": round(e.misses(e.threshold(rate)), 4) for rate in (0.5, 1.0, 10.0)}
        rows[word] = {"said": len(e.said), "at the threshold": round(e.misses(t), 4), **at}
    return {**rows, "mean": {k: round(float(np.mean([r[k] for r in rows.values()])), 4) for k in next(iter(rows.values()))}}


def for_card(row: dict[str, Any]) -> dict[str, Any]:
    """What a model's card tells of a look."""
    streams, rates = ("clean", "noise 10 dB", "in speech"), ("at 1 an hour", "at 10 an hour", "at the threshold")
    rate, low, high = row["per_hour_all_words"]
    return {
        "date": row["date"], "hours without a keyword": row["hours"], "distinct minutes of them": row["distinct_minutes"],
        "false accepts an hour, all words": rate,
        "false accepts an hour, 95 % from": low, "false accepts an hour, 95 % to": high,
        **{f"missed, {name}": {w: {at: row[name][w][at] for at in rates} for w in row["thresholds"]} for name in streams},
    }  # fmt: skip


def main() -> int:
    given = [word for word in sys.argv[1:] if word != "--validation"]
    if len(given) != 3 or "EDGERNN_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    kind, recordings = ("trials", VALIDATION) if "--validation" in sys.argv else ("looks", TEST)
    known = dict(read_json(OUT)) if OUT.is_file() else {}
    row = {
        "date": datetime.date.today().isoformat(), "name": given[1], "trained_on": given[2],
        **measure(Path(given[0]), recordings),
    }  # fmt: skip
    write_json(OUT, {**known, kind: [*known.get(kind, []), row]})
    if recordings is TEST:
        write_json(Path(given[0]) / "wake.json", for_card(row))
    print(f"wrote {OUT}: {row['clean']['mean']} clean, {row['noise 10 dB']['mean']} in noise")
    return 0


if __name__ == "__main__":
    sys.exit(main())
