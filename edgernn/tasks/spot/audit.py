"""Hours of somebody's own sound through the exact integers: what wakes the model there, how often, what a threshold changes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.data.recordings import sound_files
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.show import Shown, Table
from edgernn.signal.audio import SAMPLE_RATE, Int16, read_audio, stream_audio, write_wav
from edgernn.signal.condition import Condition
from edgernn.signal.live import in_steps
from edgernn.tasks.base import Values
from edgernn.tasks.spot.decision import Event, detect
from edgernn.tasks.spot.det import Evidence, peaks, smoothed
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.scoring import poisson_interval

Progress = Callable[[str, int, int], None]
GOALS = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)  #: false accepts an hour that the table gives thresholds for
BEFORE_S, AFTER_S = 1.8, 0.8  #: of what woke the model, this much is collected around it
NEAR = 0.75  #: of the threshold: what came so far is collected too
LOUDEST = 5  #: events whose times are told


def recordings_in(paths: Sequence[Path]) -> list[Path]:
    """The sound files named, and those at any depth of the folders named."""
    found: dict[Path, Path] = {}  # by where it lies: what is named twice is heard once
    for path in paths:
        if not path.exists():
            raise EdgernnError(f"no recording at {path}: there is no such file or folder")
        found |= {file.resolve(): file for file in (sound_files(path, "**/*") if path.is_dir() else [path])}
    if not found:
        raise EdgernnError(f"{', '.join(map(str, paths))}: no recording in there; name sound files or folders of them")
    return list(found.values())


def check_collect(collect: Path | None, files: Sequence[Path]) -> None:
    """Refuse a folder to collect into that cannot be one, before hours are listened to."""
    if collect is None:
        return
    if collect.is_file():
        raise EdgernnError(f"{collect} is a file; name a folder to collect into")
    if inside := [file for file in files if collect.resolve() in file.resolve().parents]:
        raise EdgernnError(f"{inside[0]} lies in {collect}, which is to be collected into; name another folder")
    there = next(folder for folder in (collect, *collect.absolute().parents) if folder.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        raise EdgernnError(f"nothing can be written into {there}; name another folder to collect into")


def posteriors_of(graph: SpotGraph, path: Path) -> NDArray[np.int16]:
    """Q15 posteriors [steps, keywords] of one recording from reset; a silent one is said, and counts as none."""
    runtime, found = make_runtime(fast_runtime(), graph), Condition(str(path))
    blocks = in_steps(stream_audio(path, graph.sample_rate, condition=found), graph.step_samples)
    keywords = len(graph.decision.thresholds)
    parts = [runtime.run(block).posteriors[:, :keywords] for block in blocks]
    if found.silence:
        note(f"{path} tells nothing, and its time does not count: {found.silence}")
    return np.concatenate([np.zeros((0, keywords), np.int16), *([] if found.silence else parts)])


def heard_of(graph: SpotGraph, files: Sequence[Path], progress: Progress) -> dict[Path, NDArray[np.int16]]:
    """Posteriors of each recording that can be read; others are passed over and named, but for one that is alone."""
    heard = {}
    for i, path in enumerate(files):
        try:
            heard[path] = posteriors_of(graph, path)
        except EdgernnError as error:
            if len(files) == 1:
                raise
            note(f"passed over: {error}")
        progress("listening", i + 1, len(files))
    return heard


def audit(graph: SpotGraph, paths: Sequence[Path], collect: Path | None, progress: Progress) -> dict[str, Any]:
    """What `edgernn audit` tells: events of each word, thresholds for rates, the highest scores and when they were."""
    named = recordings_in(paths)
    check_collect(collect, named)
    by_file = heard_of(graph, named, progress)
    files, heard = list(by_file), list(by_file.values())
    d, hours = graph.decision, sum(map(len, heard)) / graph.steps_per_second / 3600
    if not hours:
        raise EdgernnError("the recordings hold no whole step of sound that is not silent; name others, or longer ones")
    events = [(path, e) for path, p in zip(files, heard, strict=True) for e in detect(p, d)]
    rows = []
    for k, threshold in enumerate(d.thresholds):
        own = [e for _, e in events if e.label == k]
        low, high = poisson_interval(len(own))
        rows.append({
            "word": graph.labels[k], "threshold": round(threshold / 32768, 4), "events": len(own),
            "per_hour": round(len(own) / hours, 3), "per_hour_95": [round(low / hours, 3), round(high / hours, 3)],
            "per_day": round(24 * len(own) / hours, 1), "thresholds": _thresholds(heard, k, graph, hours),
        })  # fmt: skip
    told = [_told(graph, path, e) for path, e in events]
    return {
        "graph": graph.id, "recordings": len(files), "hours": round(hours, 4), "words": rows, "goals": list(GOALS),
        "events": told, "loudest": sorted(told, key=lambda event: -event[3])[:LOUDEST],
        "collected": collected(graph, files, heard, collect) if collect else None, "folder": str(collect or ""),
    }  # fmt: skip


def _told(graph: SpotGraph, path: Path, e: Event) -> list[Any]:
    """Recording, seconds, word, score."""
    return [str(path), round((e.step + 1) / graph.steps_per_second, 2), graph.labels[e.label], round(e.score / 32768, 3)]


def _thresholds(heard: Sequence[NDArray[np.int16]], k: int, g: SpotGraph, hours: float) -> list[float | None]:
    """The threshold for each of GOALS, as it is expected to hold in hours to come; None where the hours are too few to tell."""
    n, apart = g.decision.smoothing, max(1, g.decision.refractory)
    false = np.concatenate([peaks(smoothed(p, n)[:, k], apart)[1] for p in heard])
    e = Evidence(n, np.zeros(0, np.int64), false, hours)
    return [math.ceil(e.expected(goal) / 32768 * 1e4) / 1e4 if goal * hours >= 1 else None for goal in GOALS]


def collected(graph: SpotGraph, files: Sequence[Path], heard: Sequence[NDArray[np.int16]], out: Path) -> int:
    """Cut what woke the model, or nearly did, into WAV files in `out`; how many."""
    n, apart, count = graph.decision.smoothing, max(1, graph.decision.refractory), 0
    for i, (path, posteriors) in enumerate(zip(files, heard, strict=True)):
        sums = smoothed(posteriors, n)
        places = {
            int(at)
            for k, t in enumerate(graph.decision.thresholds)
            for at in peaks(sums[:, k], apart, round(NEAR * n * t) - 1)[0]
        }
        pcm = read_audio(path) if places else np.zeros(0, np.int16)
        for at in sorted(places):
            seconds = (at + 1) / graph.steps_per_second
            _cut(pcm, seconds, out / f"{path.stem}-{i + 1}-{seconds:.2f}.wav")
            count += 1
    return count


def _cut(pcm: Int16, seconds: float, path: Path) -> None:
    begin, end = (round((seconds + x) * SAMPLE_RATE) for x in (-BEFORE_S, AFTER_S))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, pcm[max(0, begin) : end])


def shown(r: Values) -> Shown:
    """A result of `audit` as people read it."""
    rows = [[w["word"], w["threshold"], w["events"], "{} ({} to {})".format(w["per_hour"], *w["per_hour_95"]), w["per_day"]]
            for w in r["words"]]  # fmt: skip
    title = f"graph {r['graph'][:12]}: {r['hours']:g} hours of {r['recordings']} recordings, taken to hold no keyword"
    yield Table(title, ["word", "threshold", "events", "an hour (95 %)", "a day"], rows)
    rows = [[w["word"], *("too few hours" if t is None else t for t in w["thresholds"])] for w in r["words"]]
    yield Table("the threshold for so many events an hour", ["word", *(f"{goal:g}" for goal in r["goals"])], rows)
    for path, seconds, word, score in r["loudest"]:
        yield f"{word} {score:.3f} at {seconds:g} s of {path}: if it was said there, leave that recording out"
    if r["collected"] == 0:
        yield "nothing woke it, nor nearly did: there was nothing to collect"
    elif r["collected"]:
        yield (
            f'collected {r["collected"]} pieces in {r["folder"]}; to train against them: [[data.sources]] kind = "folder", '
            f'path = "{r["folder"]}", speech = true, split = "train"'
        )
