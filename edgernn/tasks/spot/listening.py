"""Keywords as they are heard, and recordings of one's own words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import check_file_name
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16, stream_audio, write_wav
from edgernn.signal.condition import SILENT_PEAK, Condition
from edgernn.signal.live import in_steps, microphone
from edgernn.tasks.spot.graph import SpotGraph


def with_threshold(graph: SpotGraph, threshold: float | None) -> SpotGraph:
    """The graph with another threshold, 0 to 1, for every keyword; None leaves its own."""
    if threshold is None:
        return graph
    if not 0 < threshold < 1:
        raise EdgernnError(f"threshold {threshold} must lie between 0 and 1")
    thresholds = (min(32767, max(1, round(threshold * 32768))),) * len(graph.decision.thresholds)
    return replace(graph, decision=replace(graph.decision, thresholds=thresholds))


class Detection(NamedTuple):
    """A keyword that was heard: the end of the step in which it fired, in seconds from the stream's start; score 0..1."""

    time_s: float
    label: str
    score: float


def detections_in(graph: SpotGraph, output: NDArray[Any], begin: int, at_once: bool = False) -> list[Detection]:
    """Those that are over in the outputs (label, score, age, over) [S, 4] of steps `begin` and on, with their highest scores.

    at_once: those that fire in them, with the scores that they have then.
    """
    return [
        Detection(round((begin + i - age + 1) / graph.steps_per_second, 3), graph.labels[label], round(score / 32768, 4))
        for i, (label, score, age, over) in enumerate(output.tolist())
        if label >= 0 and (age == 0 if at_once else over)
    ]


def last_detections(graph: SpotGraph, process: Callable[[Int16], NDArray[Any]], begin: int) -> list[Detection]:
    """The one that still lasts when a stream ends after `begin` steps: silence follows until it is over."""
    rest = process(np.zeros(graph.decision.refractory * graph.step_samples, np.int16))
    rest[rest[:, 2] <= np.arange(len(rest)), 0] = -1  # what fires only in that silence was not heard
    return detections_in(graph, rest, begin)


def detections(graph: SpotGraph, blocks: Iterator[Int16], at_once: bool = False) -> Iterator[Detection]:
    """Keywords in a stream: each when it is over, or at_once when it fires."""
    runtime, steps = make_runtime(fast_runtime(), graph), 0
    for block in in_steps(blocks, graph.step_samples):
        output = runtime.process(block)
        yield from detections_in(graph, output, steps, at_once)
        steps += len(output)
    if not at_once:
        yield from last_detections(graph, runtime.process, steps)


def record(label: str, out: Path, count: int, seconds: float, speaker: str, source: str) -> Iterator[Path]:
    """Cut `count` pieces of `seconds` from a microphone, file or pipe into out/label/speaker_NNN.wav; yields each path."""
    check_file_name("label", label)
    check_file_name("speaker", speaker)
    if label.startswith("_"):
        raise EdgernnError(f"label {label!r} cannot name a folder of words; use the word itself")
    if not 1 <= count <= 100_000 or not 0.2 <= seconds <= 10:
        raise EdgernnError(f"count {count} must lie in 1..100000 and seconds {seconds} between 0.2 and 10")
    found, samples = Condition(source or "the microphone"), round(seconds * SAMPLE_RATE)
    blocks = stream_audio(source, SAMPLE_RATE, condition=found) if source else microphone(SAMPLE_RATE)
    pieces = (piece for block in in_steps(blocks, samples) for piece in block.reshape(-1, samples))
    taken, silent = 0, []
    for piece in itertools.islice(pieces, count):
        path = _keep(out / label, speaker, piece)
        taken += 1
        if np.abs(piece.astype(np.int32)).max() <= SILENT_PEAK:
            silent.append(path.name)
        yield path
    if not taken:
        raise EdgernnError(f"{source} is shorter than {seconds} s; nothing was recorded")
    for text in (found.narrow, found.clipping, found.quietness, found.silence and f"tells nothing: {found.silence}"):
        if text:
            note(f"{found.name} {text}")
    if silent:
        note(f"{len(silent)} of {taken} pieces are silent ({', '.join(silent[:3])}); delete them and record them again")
    if taken < count:
        note(f"only {taken} of {count} pieces of {seconds:g} s could be cut from {found.name}")


def _keep(folder: Path, speaker: str, piece: Int16) -> Path:
    """The next free name."""
    number = 0
    while (path := folder / f"{speaker}_{number:03d}.wav").exists():
        number += 1
    write_wav(path, piece)
    return path
